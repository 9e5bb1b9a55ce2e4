<?php
/**
 * The platform's prepend: runs before every script, for the web and on the
 * command line. It must be quick (it runs for each request), silent, and
 * never fail a page.
 */

if (!defined('PANTHEON_BINDING')) {
  (static function () {
    $env = static function ($name, $else = '') {
      $value = getenv($name);
      return $value === false ? $else : $value;
    };

    // php-fpm is told its socket through the environment; nobody else needs it.
    putenv('FPM_SOCKETS');
    unset($_ENV['FPM_SOCKETS'], $_SERVER['FPM_SOCKETS']);

    // A key set to null is defined only where its variable is there.
    $constants = array(
      'PANTHEON_SITE' => null,
      'PANTHEON_SITE_NAME' => null,
      'PANTHEON_ENVIRONMENT' => null,
      'PANTHEON_BINDING' => $env('PANTHEON_BINDING'),
      'PANTHEON_BINDING_UID_NUMBER' => (int) $env('PANTHEON_BINDING_UID_NUMBER', '0'),
      'PANTHEON_VALHALLA_HOST' => $env('PANTHEON_VALHALLA_HOST', 'localhost'),
      'PANTHEON_INDEX_HOST' => null,
      'PANTHEON_INDEX_PORT' => null,
    );
    if ($env('DB_HOST') !== '') {
      $constants += array(
        'PANTHEON_DATABASE_HOST' => $env('DB_HOST'),
        'PANTHEON_DATABASE_PORT' => (int) $env('DB_PORT'),
        'PANTHEON_DATABASE_USERNAME' => $env('DB_USER'),
        'PANTHEON_DATABASE_PASSWORD' => $env('DB_PASSWORD'),
        'PANTHEON_DATABASE_DATABASE' => $env('DB_NAME'),
        'PANTHEON_DATABASE_BINDING' => $env('PANTHEON_DATABASE_BINDING'),
      );
    }
    if ($env('CACHE_HOST') !== '') {
      $constants += array(
        'PANTHEON_REDIS_HOST' => $env('CACHE_HOST'),
        'PANTHEON_REDIS_PORT' => (int) $env('CACHE_PORT'),
        'PANTHEON_REDIS_PASSWORD' => $env('CACHE_PASSWORD'),
      );
    }
    foreach ($constants as $name => $value) {
      if ($value === null) {
        $value = getenv($name);
      }
      if ($value !== false && !defined($name)) {
        define($name, $value);
      }
    }

    if (PHP_SAPI === 'cli' || PHP_SAPI === 'phpdbg') {
      // Redirects in settings.php ask $_SERVER and would end Drush. $_ENV and
      // getenv() keep them.
      unset($_SERVER['PANTHEON_ENVIRONMENT'], $_SERVER['PANTHEON_SITE']);
    }
    else {
      // The web server of the platform sets these headers, or takes them away.
      $secure = (isset($_SERVER['HTTP_USER_AGENT_HTTPS']) && $_SERVER['HTTP_USER_AGENT_HTTPS'] === 'ON')
        || (isset($_SERVER['HTTP_X_SSL']) && $_SERVER['HTTP_X_SSL'] === 'ON')
        || (isset($_SERVER['HTTP_X_FORWARDED_PROTO']) && $_SERVER['HTTP_X_FORWARDED_PROTO'] === 'https');
      $_SERVER['HTTP_USER_AGENT_HTTPS'] = $secure ? 'ON' : 'OFF';
      if ($secure) {
        $_SERVER['HTTP_X_SSL'] = 'ON';
        $_SERVER['HTTPS'] = 'on';
      }
      if (!isset($_SERVER['HTTP_X_PANTHEON_CLIENT_IP']) && isset($_SERVER['REMOTE_ADDR'])) {
        $_SERVER['HTTP_X_PANTHEON_CLIENT_IP'] = $_SERVER['REMOTE_ADDR'];
      }
      if (!isset($_SERVER['PANTHEON_DATABASE_STATE'])) {
        $_SERVER['PANTHEON_DATABASE_STATE'] = _pantheon_database_state($env);
      }
    }
    $port = isset($_SERVER['SERVER_PORT']) ? (int) $_SERVER['SERVER_PORT'] : 0;
    foreach (array('JETPACK_SIGNATURE__HTTP_PORT' => 80, 'JETPACK_SIGNATURE__HTTPS_PORT' => 443) as $name => $usual) {
      if (!defined($name)) {
        define($name, $port > 0 ? $port : $usual);
      }
    }

    if (strncmp($env('FRAMEWORK'), 'drupal', 6) === 0 && $env('FRAMEWORK') !== 'drupal') {
      spl_autoload_register(static function ($class) {
        if ($class === 'Pantheon\Internal\PantheonServiceProvider'
            && interface_exists('Drupal\Core\DependencyInjection\ServiceProviderInterface')) {
          require __DIR__ . '/drupal.php';
        }
      });
    }
  })();
}

/**
 * "empty" sends the visitors of a new Drupal 8 and later to its installer.
 * Asked of the database at most once a minute, and of no other framework.
 */
function _pantheon_database_state($env) {
  $framework = $env('FRAMEWORK');
  if ($env('DB_HOST') === '' || $framework === 'drupal' || strncmp($framework, 'drupal', 6) !== 0) {
    return 'ok';
  }
  $key = 'pantheon:database_state';
  $known = function_exists('apcu_fetch') && apcu_fetch($key);
  if ($known || !class_exists('PDO', false) || !in_array('mysql', PDO::getAvailableDrivers(), true)) {
    return 'ok';
  }
  try {
    $pdo = new PDO('mysql:unix_socket=' . $env('PANTHEON_DATABASE_SOCKET') . ';dbname=' . $env('DB_NAME'),
      $env('DB_USER'), $env('DB_PASSWORD'), array(PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_TIMEOUT => 2));
    if ($pdo->query('SHOW TABLES')->fetch() === false) {
      return 'empty';
    }
  }
  catch (Throwable $e) {
    return 'ok'; // the site has better words for it
  }
  if (function_exists('apcu_store')) {
    apcu_store($key, true, 60);
  }
  return 'ok';
}

/**
 * Whether a token of the dashboard's single sign-on is good. There is no such
 * sign-on here: no token ever is.
 */
function pantheon_api_get_authorization($token = null) {
  return false;
}

/**
 * Secrets of the customer: none is kept, which callers take as "not set".
 */
function pantheon_get_secret($name = null) {
  return null;
}

/**
 * Prepares a request to a service of the platform, with this binding's client
 * certificate where there is one. Gives the handle and the options set on it.
 */
function pantheon_curl_setup($url, $data = null, $port = 443, $verb = 'GET') {
  if (!function_exists('curl_init')) {
    return array(false, array());
  }
  $options = array(
    CURLOPT_URL => $url,
    CURLOPT_PORT => (int) $port,
    CURLOPT_CUSTOMREQUEST => $verb,
    CURLOPT_RETURNTRANSFER => true,
    CURLOPT_HEADER => true,
    CURLOPT_CONNECTTIMEOUT => 5,
    CURLOPT_TIMEOUT => 30,
    CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
    CURLOPT_HTTPHEADER => array(),
  );
  $certificate = getenv('HOME') . '/certs/binding.pem';
  if (is_readable($certificate)) {
    $options[CURLOPT_SSLCERT] = $certificate;
  }
  if ($data !== null) {
    $options[CURLOPT_POSTFIELDS] = is_string($data) ? $data : json_encode($data);
    if (!is_string($data)) {
      $options[CURLOPT_HTTPHEADER][] = 'Content-Type: application/json';
    }
  }
  $handle = curl_init();
  curl_setopt_array($handle, $options);
  return array($handle, $options);
}

function _pantheon_curl_result($handle, $answer) {
  $size = (int) curl_getinfo($handle, CURLINFO_HEADER_SIZE);
  $headers = array();
  foreach (explode("\r\n", is_string($answer) ? substr($answer, 0, $size) : '') as $line) {
    $parts = explode(':', $line, 2);
    if (count($parts) === 2) {
      $headers[strtolower(trim($parts[0]))] = trim($parts[1]);
    }
  }
  return array(
    'status-code' => (int) curl_getinfo($handle, CURLINFO_RESPONSE_CODE),
    'headers' => $headers,
    'body' => is_string($answer) ? (string) substr($answer, $size) : '',
    'time' => curl_getinfo($handle, CURLINFO_TOTAL_TIME),
    'error' => curl_error($handle),
  );
}

function pantheon_curl_timeout($url, $data = null, $port = 443, $verb = 'GET', $seconds = 30) {
  list($handle) = pantheon_curl_setup($url, $data, $port, $verb);
  if ($handle === false) {
    return array('status-code' => 0, 'headers' => array(), 'body' => '', 'time' => 0, 'error' => 'curl is not loaded');
  }
  curl_setopt($handle, CURLOPT_TIMEOUT, max(1, (int) $seconds));
  return _pantheon_curl_result($handle, curl_exec($handle));
}

function pantheon_curl($url, $data = null, $port = 443, $verb = 'GET') {
  return pantheon_curl_timeout($url, $data, $port, $verb);
}

function pantheon_curl_retry($url, $data = null, $port = 443, $verb = 'GET', $tries = 3) {
  $tries = min(max((int) $tries, 1), 5);
  do {
    $answer = pantheon_curl($url, $data, $port, $verb);
  } while (--$tries > 0 && ($answer['status-code'] === 0 || $answer['status-code'] >= 500));
  return $answer;
}

/**
 * Several requests at once: each is an array of the arguments of pantheon_curl.
 */
function pantheon_curl_multi($requests) {
  $answers = array();
  if (!function_exists('curl_multi_init')) {
    return $answers;
  }
  $multi = curl_multi_init();
  $handles = array();
  foreach ($requests as $key => $arguments) {
    list($handles[$key]) = pantheon_curl_setup(...array_values((array) $arguments));
    curl_multi_add_handle($multi, $handles[$key]);
  }
  do {
    $status = curl_multi_exec($multi, $running);
    if ($running) {
      curl_multi_select($multi, 1.0);
    }
  } while ($running && $status === CURLM_OK);
  foreach ($handles as $key => $handle) {
    $answers[$key] = _pantheon_curl_result($handle, curl_multi_getcontent($handle));
    curl_multi_remove_handle($multi, $handle);
  }
  curl_multi_close($multi);
  return $answers;
}

function pantheon_cache_get($key) {
  if (!function_exists('apcu_fetch')) {
    return false;
  }
  return apcu_fetch('pantheon_cache:' . $key);
}

function pantheon_cache_set($key, $value, $seconds = 0) {
  return function_exists('apcu_store') && apcu_store('pantheon_cache:' . $key, $value, (int) $seconds);
}

function pantheon_cache_clear($key = null) {
  if (!function_exists('apcu_delete')) {
    return false;
  }
  if ($key !== null) {
    return apcu_delete('pantheon_cache:' . $key);
  }
  return apcu_delete(new APCUIterator('/^pantheon_cache:/', APC_ITER_KEY)) !== false;
}

/**
 * Deletes files and folders below the environment's files; what lies
 * elsewhere is left alone. Links are deleted, not followed.
 */
function pantheon_bulk_file_delete($paths) {
  $done = true;
  foreach ((array) $paths as $path) {
    $path = pantheon_realpath($path);
    $base = realpath(_pantheon_files());
    if ($path === false || $base === false || strncmp($path, $base . '/', strlen($base) + 1) !== 0) {
      $done = false;
      continue;
    }
    $done = _pantheon_delete_tree($path) && $done;
  }
  return $done;
}

function _pantheon_files() {
  $home = getenv('HOME');
  return is_dir($home . '/files') ? $home . '/files' : '/files';
}

function _pantheon_delete_tree($path) {
  if (is_dir($path) && !is_link($path)) {
    foreach (@scandir($path) ?: array() as $name) {
      if ($name !== '.' && $name !== '..') {
        _pantheon_delete_tree($path . '/' . $name);
      }
    }
    return @rmdir($path);
  }
  return @unlink($path);
}

function pantheon_realpath($path) {
  if (strpos($path, '://') !== false && function_exists('drupal_realpath')) {
    return drupal_realpath($path);
  }
  return realpath($path);
}

function pantheon_stat($path) {
  return @stat($path);
}

function pantheon_variable_get($name, $default = null) {
  if (isset($GLOBALS['conf'][$name])) {
    return $GLOBALS['conf'][$name];
  }
  $settings = json_decode((string) getenv('PRESSFLOW_SETTINGS'), true);
  return isset($settings['conf'][$name]) ? $settings['conf'][$name] : $default;
}

/**
 * What the edge cache shall forget, kept until the page is done.
 */
function _pantheon_purge($kind, $items) {
  static $purge = null;
  if ($kind === 'take') {
    $taken = $purge;
    $purge = null;
    return $taken;
  }
  if ($purge === null) {
    $purge = array('all' => false, 'keys' => array(), 'paths' => array(), 'urls' => array());
    register_shutdown_function('_pantheon_purge_send');
  }
  if ($kind === 'all') {
    $purge['all'] = true;
  }
  else {
    foreach ((array) $items as $item) {
      if (is_scalar($item) && strlen((string) $item) <= 2048) {
        $purge[$kind][(string) $item] = true;
      }
    }
    if (count($purge['keys']) + count($purge['paths']) + count($purge['urls']) > 5000) {
      $purge = array('all' => true, 'keys' => array(), 'paths' => array(), 'urls' => array());
    }
  }
  return true;
}

/**
 * Appends what was collected to the spool. Bounded to 1 MiB: a full spool
 * becomes the one line that purges everything.
 */
function _pantheon_purge_send() {
  try {
    $purge = _pantheon_purge('take', array());
    $spool = getenv('PANTHEON_EDGE_SPOOL');
    if (!$purge || !$spool || !($file = @fopen($spool, 'c+'))) {
      return;
    }
    if (@flock($file, LOCK_EX)) {
      $lists = array('all' => $purge['all']);
      foreach (array('keys', 'paths', 'urls') as $kind) {
        $lists[$kind] = $purge['all'] ? array() : array_map('strval', array_keys($purge[$kind]));
      }
      $line = json_encode($lists, JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE) . "\n";
      $stat = fstat($file);
      if ($stat['size'] + strlen($line) > 1048576) {
        ftruncate($file, 0);
        $line = '{"all":true,"keys":[],"paths":[],"urls":[]}' . "\n";
      }
      fseek($file, 0, SEEK_END);
      fwrite($file, $line);
      fflush($file);
      flock($file, LOCK_UN);
    }
    fclose($file);
  }
  catch (Throwable $e) {
    // A page is worth more than its purge.
  }
}

function pantheon_clear_edge_all() {
  return _pantheon_purge('all', array());
}

function pantheon_clear_edge_paths($paths) {
  return _pantheon_purge('paths', $paths);
}

function pantheon_clear_edge_keys($keys) {
  return _pantheon_purge('keys', $keys);
}

function pantheon_purge_edge_urls($urls) {
  return _pantheon_purge('urls', $urls);
}
