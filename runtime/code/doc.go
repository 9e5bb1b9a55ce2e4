// Package code keeps the code of sites: a bare git repository for each, and
// the trees that are made from its commits.
//
// # Where things enter
//
// Import makes a site's repository from a git repository or a plain folder.
// Release makes the read-only tree of a commit, Worktree the writable one of
// an environment in SFTP mode. Settings reads what a commit's pantheon.yml
// says, Log its history. Remove and Collect end what is not needed any more.
//
// # Where state is
//
//	<dir>/<site>/repository.git        bare; master is the default branch
//	<dir>/<site>/releases/<commit>-<8 hex digits>   the digits stand for the file mount
//	<dir>/<site>/worktrees/<environment name>
//	<dir>/upstreams/<hash>.git         what was imported from one place, for the next site
//	<dir>/blobs/<2>/<object id>[x]     file contents, shared by all releases
//	<dir>/fetched/<commit>             the tree of a release that another host has published
//	<dir>/tmp/                         under way or on its way out; emptied by Open
//	<dir>/gitconfig                    the only configuration git sees
//
// A site's repository begins as hard links to the packs of its upstream, and a
// release as hard links to blobs: the thousandth WordPress costs its folders.
// Packs and blobs are never written in place and belong to the platform; a
// tenant sees them read-only. A worktree, which its tenant writes, shares
// nothing.
//
// # What is guaranteed
//
// Between the hosts of a cell releases travel by content (published.go): the host
// of a repository publishes a commit's objects, another fetches them once for
// all its sites, checks every one against the commit, and makes the same trees
// from them.
//
// Everything appears by rename, complete, and is found again by its name: all
// methods are idempotent, and a kill at any moment leaves nothing half-made
// under a final name. A repository is durable before Import returns. A release
// is not, because it can be made again: the first use after a boot compares its
// sizes with the commit's and rebuilds what a power failure spoiled.
//
// What a commit holds is hostile. Trees are written by this package and not by
// git checkout: no filter, hook, attribute or configuration of the repository
// runs or counts, the bytes committed are the bytes served, no path leaves the
// tree, and links are made last. A shared blob is named by git's object id,
// which git computes with a SHA-1 that detects collisions.
//
// git runs without a shell, without hooks, without the machine's and the
// user's configuration, over the protocols https, ssh, git and file only, with
// bounds on time, size and output.
package code
