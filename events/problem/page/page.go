// Package page is the one table of the fixed error pages that visitors of a
// site see, and their form. The router and the web server of a DROP answer
// with the same pages.
//
// Users search for the words of a title, so they are the original platform's
// and do not change. A page says what a visitor and an owner can do, shows the
// id that finds the request in the log, and nothing of the inside.
package page

import (
	"bytes"
	"html"
	"net/http"
	"strconv"
)

// Page is one fixed page.
type Page struct {
	Status int
	Name   string // the title is "<status> <name>"
	Text   string // one or two sentences for people
}

// The pages.
var (
	BadRequest           = Page{400, "Bad Request", "The request cannot be understood."}
	Unauthorized         = Page{401, "Unauthorized", "This environment is locked. Its owner can give you the user name and the password."}
	Forbidden            = Page{403, "Forbidden", "Access to this path is not allowed."}
	UnknownSite          = Page{404, "Unknown Site", "The host name points here, but no site answers to it. If this is your domain, add it to an environment of your site."}
	NotFound             = Page{404, "Not Found", "There is nothing at this address."}
	MethodNotAllowed     = Page{405, "Method Not Allowed", "This address can only be read."}
	RequestTimeout       = Page{408, "Request Timeout", "The request did not arrive in time."}
	ContentTooLarge      = Page{413, "Content Too Large", "The upload exceeds the limit of 100 MB."}
	URITooLong           = Page{414, "URI Too Long", "The address of this request is too long."}
	HeaderTooLarge       = Page{431, "Request Header Fields Too Large", "The header of the request is too large. Deleting the cookies of this site may help."}
	InternalError        = Page{500, "Internal Server Error", "The platform made a mistake."}
	BadGateway           = Page{502, "Bad Gateway", "PHP-FPM hung up before the response was complete."}
	TimeoutSegfault      = Page{502, "Timeout/Segfault", "PHP crashed or outlived its time while it worked on this request."}
	RoutingFailure       = Page{502, "Routing Failure", "The application container could not be reached over the internal network."}
	UpstreamHeaderTooBig = Page{502, "Upstream Header Too Big", "The application sent more headers than are accepted. Very large cookies or many surrogate keys are the usual cause."}
	HeaderOverflow       = Page{503, "Header Overflow", "The application sent more headers than the edge accepts."}
	FirstByteTimeout     = Page{503, "First Byte Timeout", "The application did not begin its response in time."}
	Maintenance          = Page{503, "Target in Maintenance", "The application container is in maintenance. Please try again in a moment."}
	DatabaseDown         = Page{503, "Database not Responding", "The database of this site is down or over its limits."}
	ServiceUnavailable   = Page{503, "Service Unavailable", "The service cannot be given at the moment. Please try again."}
	GatewayTimeout       = Page{504, "Gateway Timeout", "The response did not come in time."}
	TargetNotResponding  = Page{504, "Target Not Responding", "All PHP workers are busy and their queue is full, or the application container did not wake in time."}
	SiteFrozen           = Page{530, "Site Frozen", "This site has not been used for a long time and is frozen. Its owner can thaw it."}
	DatabaseOffline      = Page{550, "Database Offline", "The application could not connect to its database."}
	ResurrectionFailed   = Page{555, "Resurrection Failed", "A service of this site could not be started again."}
	NotInstalled         = Page{560, "Application Not Installed", "The application of this site is not installed yet."}
	NoSite               = Page{561, "No Site Detected", "There is no code here yet, or no index file. Push code to the site, or check its document root."}
)

// All lists every page once.
func All() []Page {
	return []Page{
		BadRequest, Unauthorized, Forbidden, UnknownSite, NotFound, MethodNotAllowed, RequestTimeout, ContentTooLarge, URITooLong,
		HeaderTooLarge, InternalError, BadGateway, TimeoutSegfault, RoutingFailure, UpstreamHeaderTooBig,
		HeaderOverflow, FirstByteTimeout, Maintenance, DatabaseDown, ServiceUnavailable, GatewayTimeout,
		TargetNotResponding, SiteFrozen, DatabaseOffline, ResurrectionFailed, NotInstalled, NoSite,
	}
}

// Title gives the words that users search for.
func (p Page) Title() string { return strconv.Itoa(p.Status) + " " + p.Name }

// HTML renders the page. id finds the request in the log; it may be empty.
func (p Page) HTML(id string) []byte {
	var b bytes.Buffer
	b.WriteString("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n" +
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>")
	b.WriteString(p.Title())
	b.WriteString("</title>\n<style>body{font:16px/1.5 sans-serif;max-width:40em;margin:12vh auto;padding:0 1em;color:#222}" +
		"h1{font-size:1em;font-weight:normal;color:#777}h2{font-size:2em;margin:.2em 0}footer{color:#777;font-size:.85em}</style>\n" +
		"</head>\n<body>\n<h1>Pantheon</h1>\n<h2>")
	b.WriteString(p.Title())
	b.WriteString("</h2>\n<p>")
	b.WriteString(html.EscapeString(p.Text))
	b.WriteString("</p>\n")
	if id != "" {
		b.WriteString("<footer>Request " + html.EscapeString(id) + "</footer>\n")
	}
	b.WriteString("</body>\n</html>\n")
	return b.Bytes()
}

// Write answers with the page, which no cache may keep. It takes away what an
// earlier attempt at a response may have left in the header.
func (p Page) Write(w http.ResponseWriter, id string) {
	body := p.HTML(id)
	header := w.Header()
	for _, name := range []string{"Content-Encoding", "Etag", "Last-Modified", "Accept-Ranges", "Content-Range", "Vary"} {
		header.Del(name)
	}
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-cache, must-revalidate, max-age=0")
	w.WriteHeader(p.Status)
	w.Write(body) // an error means that the visitor has left
}
