// Package drop runs DROPs: php-fpm for one environment on this machine, asleep
// until somebody wants something, awake within milliseconds, asleep again.
//
// # Where things enter, where state changes
//
// A Host is what all DROPs of a machine share; a Runner is one DROP. A Runner
// is told to Prepare a spec, to Wake for a request, to Sleep, to Exec a
// command, and after the agent's restart to Adopt what still runs. All that
// can happen to it is an Input to machine.Step, which is pure and the
// only place where a DROP's state changes; the effects it returns are carried
// out by the Runner, and the facts among them go to Options.Report in the
// order in which they became true.
//
// Configure (configure.go) is pure as well: from a spec to folders, binds,
// files, arguments and variables. Nothing of it is kept while a DROP sleeps.
//
// # What is guaranteed
//
// A DROP has at most one php-fpm. Wake returns when php-fpm has answered a
// ping, or with the reason why it does not; between failed starts it answers
// at once with the last reason, for 1 s after the first failure and up to 60 s
// after many. No request is lost because of sleep: one that comes while
// php-fpm stops waits for the next start. A process that ends unasked is
// replaced by the next request. php-fpm outlives the agent; its identity is in
// run/identity.json.
//
// # What a sleeping DROP costs
//
// A Runner and its spec: no process, goroutine, timer, descriptor or cgroup.
// Its unix socket is bound anew at each wake. One heap holds the idle checks
// of those that are awake.
//
// # php-fpm's settings, and why
//
// pm = ondemand: measured against static with four workers, the first answer
// after a start comes 1 to 2 ms sooner, because one worker is forked and not
// four; a burst pays about 3 ms for each further worker, once; an awake DROP
// without load has a master of 6 MB and not four workers of up to 40 MB
// beside it. "dynamic" adds one worker a second and would let bursts wait.
//
// The environment is php-fpm's own, made from nothing, with clear_env off; the
// usual way, clear_env on and env[] in the pool, would put passwords into a
// file and every value through a quoting that "$" and quotation marks break.
//
// Settings are in php.ini, one for php-fpm and one for the command line, not
// in php_admin_value: those that scripts must not change can only be set
// there (.user.ini is off), and the others scripts may change, as they could
// on the original. Debian's conf.d is not read: an extension list for each
// framework takes some 6 ms of 35 off a start (extensions.go has figures).
//
// There is no slowlog: php-fpm writes it by ptrace, which sandboxes refuse.
package drop
