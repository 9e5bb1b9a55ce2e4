// Package web is the web server of one DROP: what nginx is on the original
// platform's application servers. It answers static files itself and hands the
// rest to php-fpm.
//
// # Where things enter
//
// Server.Serve takes a request whose host name has been found to belong to the
// DROP's environment. The caller (the router, through the host's agent) is
// trusted with three things and must set them itself, whatever the visitor
// sent: Request.RemoteAddr is the visitor's true address, and X-Forwarded-Proto
// and User-Agent-HTTPS say how the visitor came. The caller also bounds how
// long a visitor may take to send a body and to take a response.
//
// # How a request goes
//
//	path ──▶ rules (pure: forbidden, hidden, as it stands)
//	     ──▶ document root (os.Root of the release; os.Root of the files folder
//	         at the file mount)
//	     ──▶ static answer, redirect, fixed page
//	      or script ──▶ body spooled ──▶ Wake ──▶ worker ──▶ response streamed
//
// # Where state changes
//
// Nowhere but in the pool of connections to php-fpm and in two counters that
// bound it. The two roots are opened at the first request and given up by Rest,
// so that a server at rest holds no descriptor and no goroutine.
//
// # What is guaranteed
//
//   - Nothing outside the document root and the files folder is served: every
//     file is opened through an os.Root, which refuses symbolic links that lead
//     out. The link at the file mount itself is not followed: the folder is
//     mapped there.
//   - No file under the file mount is run, and nothing that looks like PHP is
//     served from there.
//   - A worker is taken only when the request's body is here, and it is free
//     again when PHP has ended: neither a slow upload nor a slow reader holds it.
//   - Serve returns an error only if nothing was written; the request's body
//     then is whole again for another try. Unsent tells whether PHP may have
//     begun the request; PageFor gives the page for an error.
//   - A response that breaks off is broken off for the visitor as well
//     (http.ErrAbortHandler), never ended as if it were whole.
package web
