package drop

import (
	"path"
	"strconv"
	"strings"

	"pantheon/runtime/drop/contract"
)

// warmScript compiles the prepend and the files below a folder into the file
// cache, nearest first, until a bound is reached. It runs in the sandbox, so a tree made to
// trap it traps only itself.
const warmScript = `[$_, $root, $prepend, $files, $bytes, $seconds] = $argv;
@opcache_compile_file($prepend);
$end = microtime(true) + (float) $seconds;
$skip = '~^(\.git|node_modules|[Tt]ests?|simpletest|wp-admin|files|uploads)$~';
$want = '~\.(php|inc|module|engine|theme|profile)$~';
$queue = [$root];
$done = 0;
while ($queue && $done < $files && microtime(true) < $end) {
  $folder = array_shift($queue);
  foreach (@scandir($folder) ?: [] as $name) {
    $path = "$folder/$name";
    if ($name === '.' || $name === '..' || is_link($path)) continue;
    if (is_dir($path)) { if (!preg_match($skip, $name)) $queue[] = $path; continue; }
    if (!preg_match($want, $name) || filesize($path) > $bytes) continue;
    if ($done >= $files || microtime(true) >= $end) break;
    try { if (@opcache_compile_file($path)) $done++; } catch (Throwable $e) {}
  }
}
echo $done, "\n";`

// warm is the command that fills the opcode cache. It uses the settings of
// php-fpm: a cache file holds for one set of extensions only.
func (b *builder) warm() []string {
	args := []string{b.php.CLI, "-c", b.ini("fpm")}
	for _, setting := range []string{
		"auto_prepend_file=", "opcache.enable_cli=1", "opcache.file_cache_only=1", "display_errors=0", "log_errors=0",
		"memory_limit=-1", "opcache.memory_consumption=64",
	} {
		args = append(args, "-d", setting)
	}
	return append(args, "-r", strings.TrimSpace(warmScript), "--", b.layout.Code, path.Join(b.layout.Includes, contract.PrependName),
		strconv.Itoa(WarmFiles), strconv.Itoa(WarmFileBytes), strconv.Itoa(int(WarmTimeout.Seconds())))
}
