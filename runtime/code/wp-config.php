<?php
/**
 * WordPress on pantheon.
 *
 * Everything that differs between environments comes from the environment's
 * variables, so the same file serves dev, test, live and every branch. It is
 * your code: change it as you like.
 */

if (getenv('PANTHEON_ENVIRONMENT') !== false) {
	call_user_func(static function () {
		$read = static function ($name) {
			$value = isset($_ENV[$name]) ? $_ENV[$name] : getenv($name);
			return $value === false ? '' : $value;
		};

		define('DB_NAME', $read('DB_NAME'));
		define('DB_USER', $read('DB_USER'));
		define('DB_PASSWORD', $read('DB_PASSWORD'));
		define('DB_HOST', $read('DB_HOST') . ':' . $read('DB_PORT'));

		foreach (['AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY',
			'AUTH_SALT', 'SECURE_AUTH_SALT', 'LOGGED_IN_SALT', 'NONCE_SALT'] as $name) {
			define($name, $read($name));
		}

		// The entry says in this header how the visitor came.
		$scheme = 'http';
		if (isset($_SERVER['HTTP_USER_AGENT_HTTPS']) && $_SERVER['HTTP_USER_AGENT_HTTPS'] === 'ON') {
			$scheme = 'https';
			$_SERVER['HTTPS'] = 'on';
		}

		// Every host name of the environment works, without a change in the database.
		if (isset($_SERVER['HTTP_HOST']) && preg_match('/^[A-Za-z0-9.-]+(:[0-9]+)?$/D', $_SERVER['HTTP_HOST'])) {
			if (!defined('WP_HOME')) {
				define('WP_HOME', $scheme . '://' . $_SERVER['HTTP_HOST']);
			}
			if (!defined('WP_SITEURL')) {
				define('WP_SITEURL', $scheme . '://' . $_SERVER['HTTP_HOST']);
			}
		}

		$environment = $read('PANTHEON_ENVIRONMENT');
		if (!defined('WP_ENVIRONMENT_TYPE')) {
			$types = ['live' => 'production', 'test' => 'staging'];
			define('WP_ENVIRONMENT_TYPE', isset($types[$environment]) ? $types[$environment] : 'development');
		}

		// Code comes by git and moves from dev to test to live.
		if (in_array($environment, ['test', 'live'], true)) {
			if (!defined('DISALLOW_FILE_MODS')) {
				define('DISALLOW_FILE_MODS', true);
			}
			if (!defined('DISALLOW_FILE_EDIT')) {
				define('DISALLOW_FILE_EDIT', true);
			}
		}
		if (!defined('WP_AUTO_UPDATE_CORE')) {
			define('WP_AUTO_UPDATE_CORE', false);
		}
		if (!defined('AUTOMATIC_UPDATER_DISABLED')) {
			define('AUTOMATIC_UPDATER_DISABLED', true);
		}
		if (!defined('FS_METHOD')) {
			define('FS_METHOD', 'direct');
		}

		// The platform runs cron.
		if (!defined('DISABLE_WP_CRON')) {
			define('DISABLE_WP_CRON', true);
		}
		if (!defined('WP_TEMP_DIR')) {
			define('WP_TEMP_DIR', sys_get_temp_dir());
		}
	});
} elseif (file_exists(__DIR__ . '/wp-config-local.php')) {
	// Your own machine.
	require_once __DIR__ . '/wp-config-local.php';
}

if (!defined('DB_CHARSET')) {
	define('DB_CHARSET', 'utf8mb4');
}
if (!defined('DB_COLLATE')) {
	define('DB_COLLATE', '');
}
if (!isset($table_prefix)) {
	$table_prefix = 'wp_';
}

if (!defined('ABSPATH')) {
	define('ABSPATH', __DIR__ . '/');
}
require_once ABSPATH . 'wp-settings.php';
