package web

import "strings"

// contentType says what a file is by its suffix. The table is our own: what a
// site serves must not depend on the files of the machine.
type contentType struct {
	header   []string // shared by all answers, one element, never appended to in place
	compress bool     // worth it
	asset    bool     // cached for long on test and live
	font     bool     // open to all origins
}

const (
	isText = 1 << iota // worth compressing
	isAsset
	isFont
)

// suffixTypes: media types as IANA has them. No charset: the files know best.
var suffixTypes = map[string]contentType{
	"html": kind("text/html", isText), "htm": kind("text/html", isText), "xhtml": kind("application/xhtml+xml", isText),
	"txt": kind("text/plain", isText), "csv": kind("text/csv", isText), "md": kind("text/markdown", isText),
	"ics": kind("text/calendar", isText), "vcf": kind("text/vcard", isText), "vtt": kind("text/vtt", isText),
	"css": kind("text/css", isText|isAsset), "js": kind("text/javascript", isText|isAsset), "mjs": kind("text/javascript", isText|isAsset),
	"json": kind("application/json", isText), "map": kind("application/json", isText|isAsset),
	"webmanifest": kind("application/manifest+json", isText), "wasm": kind("application/wasm", isText|isAsset),
	"xml": kind("application/xml", isText), "xsl": kind("application/xslt+xml", isText), "rss": kind("application/rss+xml", isText),
	"atom": kind("application/atom+xml", isText), "rdf": kind("application/rdf+xml", isText),

	"png": kind("image/png", isAsset), "gif": kind("image/gif", isAsset), "jpg": kind("image/jpeg", isAsset), "jpeg": kind("image/jpeg", isAsset),
	"webp": kind("image/webp", isAsset), "avif": kind("image/avif", isAsset), "svg": kind("image/svg+xml", isText|isAsset),
	"svgz": kind("image/svg+xml", isAsset), "ico": kind("image/vnd.microsoft.icon", isText|isAsset), "bmp": kind("image/bmp", isText|isAsset),
	"tif": kind("image/tiff", isAsset), "tiff": kind("image/tiff", isAsset), "heic": kind("image/heic", isAsset),

	"woff": kind("font/woff", isAsset|isFont), "woff2": kind("font/woff2", isAsset|isFont), "ttf": kind("font/ttf", isText|isAsset|isFont),
	"otf": kind("font/otf", isText|isAsset|isFont), "eot": kind("application/vnd.ms-fontobject", isText|isAsset|isFont),

	"mp3": kind("audio/mpeg", 0), "m4a": kind("audio/mp4", 0), "ogg": kind("audio/ogg", 0), "oga": kind("audio/ogg", 0),
	"opus": kind("audio/ogg", 0), "wav": kind("audio/wav", 0), "flac": kind("audio/flac", 0), "mid": kind("audio/midi", 0),
	"mp4": kind("video/mp4", 0), "m4v": kind("video/mp4", 0), "webm": kind("video/webm", 0), "ogv": kind("video/ogg", 0),
	"mov": kind("video/quicktime", 0), "avi": kind("video/x-msvideo", 0), "mpeg": kind("video/mpeg", 0), "mpg": kind("video/mpeg", 0),
	"swf": kind("application/x-shockwave-flash", isAsset), "flv": kind("video/x-flv", 0), "mkv": kind("video/x-matroska", 0),

	"pdf": kind("application/pdf", 0), "zip": kind("application/zip", 0), "gz": kind("application/gzip", 0), "tgz": kind("application/gzip", 0),
	"br": kind("application/octet-stream", 0), "bz2": kind("application/x-bzip2", 0), "xz": kind("application/x-xz", 0),
	"7z": kind("application/x-7z-compressed", 0), "rar": kind("application/vnd.rar", 0), "tar": kind("application/x-tar", 0),
	"doc": kind("application/msword", 0), "xls": kind("application/vnd.ms-excel", 0), "ppt": kind("application/vnd.ms-powerpoint", 0),
	"docx": kind("application/vnd.openxmlformats-officedocument.wordprocessingml.document", 0),
	"xlsx": kind("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", 0),
	"pptx": kind("application/vnd.openxmlformats-officedocument.presentationml.presentation", 0),
	"odt":  kind("application/vnd.oasis.opendocument.text", 0), "ods": kind("application/vnd.oasis.opendocument.spreadsheet", 0),
	"odp": kind("application/vnd.oasis.opendocument.presentation", 0), "epub": kind("application/epub+zip", 0),
	"rtf": kind("application/rtf", isText), "ps": kind("application/postscript", isText), "eps": kind("application/postscript", isText),
	"kml": kind("application/vnd.google-earth.kml+xml", isText), "gpx": kind("application/gpx+xml", isText),
}

var unknownType = kind("application/octet-stream", 0)

func kind(media string, traits int) contentType {
	return contentType{[]string{media}, traits&isText != 0, traits&isAsset != 0, traits&isFont != 0}
}

// typeOf looks a file's name up.
func typeOf(name string) contentType {
	name = name[strings.LastIndexByte(name, '/')+1:]
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return unknownType
	}
	suffix := name[dot+1:]
	known, found := suffixTypes[suffix]
	if !found {
		known, found = suffixTypes[strings.ToLower(suffix)]
	}
	if !found {
		return unknownType
	}
	return known
}

// compressible says whether a response of PHP with this Content-Type is worth
// compressing. An event stream is not: its pieces are small and must not wait.
func compressible(media string) bool {
	media, _, _ = strings.Cut(media, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	switch media {
	case "text/event-stream":
		return false
	case "application/json", "application/javascript", "application/xml", "application/manifest+json", "application/wasm",
		"application/rtf", "application/x-javascript", "application/vnd.ms-fontobject", "font/ttf", "font/otf":
		return true
	}
	return strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+xml") || strings.HasSuffix(media, "+json")
}
