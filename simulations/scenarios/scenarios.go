// Package scenarios holds the scenarios that come with `pantheon simulate`, and
// says how one is written: Grammar.
package scenarios

import "embed"

// Files are the scenarios, by name.
//
//go:embed *.txt
var Files embed.FS

// Grammar is what a person who writes one needs.
const Grammar = `A scenario is a text, one word group a line; # begins a comment:

  title Words that say what happens
  hosts 20
  sites 1000
  for 2d
  faults none                 none but those written here; or: drawn, from the seed
  at 6h crash hosts 1-5 for 12h
  at 6h pause host 3 for 30s
  at 6h isolate host 3 for 10m
  at 6h cut host 3 to log for 10m       one way only
  at 6h clog node 1 by 300ms for 10m
  at 6h lose host busiest               for good
  at 6h drain hosts web-1,web-2         emptied, then off for good
  at 6h drain host 3 for 1h             emptied, then it takes DROPs again
  at 6h fill host 3 for 10m             its disk
  at 6h hang host 3 for 1m              half of its php-fpm
  at 6h oom host 3
  at 6h crash node 1 for 1m
  at 6h crash router 1 for 1m
  at 6h clock node 1 by 30d for 1h      behind
  at 6h log outage for 5m
  at 6h log failover for 3s
  at 6h log full for 5m
  at 6h log slow 2s for 5m
  at 6h crowd site 1 x 500 for 20m
  at 6h crawl every 100ms
  at 6h traffic x10 for 2h              or: load x 10
  at 6h deploy all over 1h
  at 6h scale all 2 over 1h
  at 6h operators every 2s for 1h
  at 6h restart agents over 5m
  expect unserved <= 0.1%     also avoidable, degraded, p50, p99, moves, retries, woken and converged

Avoidable are the unserved whose database and files were within reach: the
others could not have been served by anybody.

Hosts are numbers, ranges, names, ids or "busiest", several with commas
between. What is cut or clogged is hosts, a node, a router, log, leases or
operators. Without "for" it lasts to the end of the days that are simulated.

Times are from the beginning of the run. Sites are created in its first
quarter at the latest. Numbers of hosts and sites and the length are only
proposals: --hosts, --sites and --days come first.
`
