package drop

import (
	"fmt"
	"path"
	"strings"

	"pantheon/runtime/drop/contract"
)

// ini collects the lines of a configuration file of PHP.
type ini struct{ strings.Builder }

func (i *ini) section(name string) { fmt.Fprintf(i, "[%s]\n", name) }

// set writes one line; text that is not a plain word is quoted.
func (i *ini) set(name string, value any) {
	text := fmt.Sprint(value)
	if strings.ContainsAny(text, " ;=()&|!~{}/:.@") {
		text = `"` + text + `"`
	}
	fmt.Fprintf(i, "%s = %s\n", name, text)
}

// webINI is php.ini of php-fpm.
func (b *builder) webINI() string {
	i := &ini{}
	b.load(i, webExtensions(b.spec.Framework))
	b.common(i)
	i.set("display_errors", "Off")
	i.set("max_execution_time", requestSeconds)
	i.set("max_input_time", requestSeconds)
	b.opcache(i)
	i.set("opcache.enable", 1)
	// Checked when the cache file was written; the folder is the DROP's own.
	i.set("opcache.file_cache_consistency_checks", 0)
	if b.writable() {
		i.set("opcache.validate_timestamps", 1)
		i.set("opcache.revalidate_freq", 0)
	} else {
		i.set("opcache.validate_timestamps", 0)
		// A release is whole when it is shown; no file is too young to keep.
		i.set("opcache.file_update_protection", 0)
	}
	return i.String()
}

// commandINI is php.ini of the command line, where memory is bounded by the
// sandbox alone and time not at all.
func (b *builder) commandINI() string {
	i := &ini{}
	b.load(i, allExtensions)
	b.common(i)
	i.set("memory_limit", -1)
	i.set("display_errors", "stderr")
	i.set("opcache.enable_cli", 0)
	return i.String()
}

func (b *builder) load(i *ini, wanted []string) {
	i.section("PHP")
	for _, e := range installed(wanted, b.php.Available) {
		if e == "opcache" {
			i.set("zend_extension", b.php.library(e))
			continue
		}
		i.set("extension", b.php.library(e))
	}
}

// common are the settings of the original platform, and those our own prepend
// and layout need.
func (b *builder) common(i *ini) {
	i.set("variables_order", "EGPCS")
	i.set("request_order", "GP")
	i.set("short_open_tag", "Off")
	i.set("expose_php", "Off")
	i.set("user_ini.filename", "")
	i.set("auto_prepend_file", path.Join(b.layout.Includes, contract.PrependName))
	i.set("memory_limit", "256M")
	i.set("max_input_vars", 10000)
	i.set("post_max_size", "100M")
	i.set("upload_max_filesize", "100M")
	i.set("max_file_uploads", 20)
	i.set("sys_temp_dir", b.layout.Tmp)
	i.set("upload_tmp_dir", b.layout.Tmp)
	i.set("output_buffering", 4096)
	i.set("default_charset", "UTF-8")
	i.set("error_reporting", 22527) // E_ALL without E_DEPRECATED and E_STRICT
	i.set("log_errors", "On")
	i.set("error_log", path.Join(b.layout.Logs, "php", "php-error.log"))
	i.set("ignore_repeated_errors", "On")
	i.set("realpath_cache_size", "4096K")
	i.set("realpath_cache_ttl", 600)
	i.set("sendmail_path", "/usr/sbin/sendmail -t -i")
	i.set("mail.add_x_header", "Off")
	i.set("allow_url_include", "Off")
	i.set("date.timezone", "UTC")
	i.set("zend.assertions", -1)
	i.set("session.save_path", b.layout.Tmp)
	i.set("session.gc_maxlifetime", 200000)
	i.set("session.cookie_lifetime", 2000000)
	i.set("session.gc_probability", 1)
	i.set("session.gc_divisor", 100)
	i.set("session.cookie_httponly", "On")
	i.set("session.use_strict_mode", "On")
	i.set("mysqli.default_socket", b.layout.DatabaseSocket)
	i.set("pdo_mysql.default_socket", b.layout.DatabaseSocket)
	i.set("apc.shm_size", "128M")
	i.set("apc.enable_cli", 0)
}

func (b *builder) opcache(i *ini) {
	i.set("opcache.memory_consumption", 128)
	i.set("opcache.interned_strings_buffer", 16)
	i.set("opcache.max_accelerated_files", 32531)
	i.set("opcache.max_wasted_percentage", 10)
	i.set("opcache.file_cache", b.cacheInside)
	i.set("opcache.lockfile_path", b.layout.Tmp)
	i.set("opcache.save_comments", 1)
	i.set("opcache.jit", "disable")
	i.set("opcache.jit_buffer_size", 0)
}

// listenName is what php-fpm calls the socket it is given. On its end it
// deletes a file of that name: there can be none.
const listenName = "/dev/null/php-fpm.sock"

// pingPath is answered by php-fpm itself.
const pingPath = "/pantheon-fpm-ping"

// fpmConf is php-fpm.conf.
func (b *builder) fpmConf() string {
	i := &ini{}
	i.section("global")
	i.set("error_log", path.Join(b.layout.Logs, "php", "php-fpm-error.log"))
	i.set("daemonize", "no")
	i.set("log_level", "warning")
	i.set("log_limit", 8192)
	i.set("process_control_timeout", fmt.Sprintf("%ds", int(StopGrace.Seconds())))
	i.section("www")
	i.set("listen", listenName)
	i.set("pm", "ondemand")
	i.set("pm.max_children", b.workers())
	i.set("pm.process_idle_timeout", fmt.Sprintf("%ds", int(workerIdle.Seconds())))
	i.set("pm.max_requests", workerRequests)
	i.set("ping.path", pingPath)
	i.set("request_terminate_timeout", fmt.Sprintf("%ds", requestSeconds+requestGrace))
	i.set("request_terminate_timeout_track_finished", "yes")
	i.set("security.limit_extensions", ".php")
	i.set("clear_env", "no")
	// Errors of PHP go to its log. Catching what a worker writes to its standard
	// error costs each request a write and a wake-up of the master: 12 µs of 55.
	i.set("catch_workers_output", "no")
	return i.String()
}
