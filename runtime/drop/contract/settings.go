package contract

import (
	"bytes"
	"encoding/json"

	"pantheon/events"
)

// settings is PRESSFLOW_SETTINGS. Every key of conf becomes a key of Drupal's
// $conf; every key beside it becomes a PHP variable of that name, so nothing
// is here that is not meant to.
type settings struct {
	Conf                conf                           `json:"conf"`
	Databases           map[string]map[string]database `json:"databases,omitempty"`
	DrupalHashSalt      string                         `json:"drupal_hash_salt"`
	ConfigDirectoryName string                         `json:"config_directory_name"`
}

type conf struct {
	SmartStart         bool   `json:"pressflow_smart_start"`
	Binding            string `json:"pantheon_binding"`
	SiteUUID           string `json:"pantheon_site_uuid"`
	Environment        string `json:"pantheon_environment"`
	Tier               string `json:"pantheon_tier"`
	IndexHost          string `json:"pantheon_index_host,omitempty"`
	IndexPort          int    `json:"pantheon_index_port,omitempty"`
	RedisHost          string `json:"redis_client_host,omitempty"`
	RedisPort          int    `json:"redis_client_port,omitempty"`
	RedisPassword      string `json:"redis_client_password,omitempty"`
	FilePublicPath     string `json:"file_public_path"`
	FilePrivatePath    string `json:"file_private_path"`
	FileDirectoryPath  string `json:"file_directory_path"`
	FileTemporaryPath  string `json:"file_temporary_path"`
	FileDirectoryTemp  string `json:"file_directory_temp"`
	CSSGzipCompression bool   `json:"css_gzip_compression"`
	JSGzipCompression  bool   `json:"js_gzip_compression"`
	PageCompression    bool   `json:"page_compression"`
}

type database struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Username string `json:"username"`
	Password string `json:"password"`
	Database string `json:"database"`
	Driver   string `json:"driver"`
}

// PrivateFolder is the folder of the files that is never served.
const PrivateFolder = "private"

func pressflowSettings(s Site) string {
	mount := FileMount(s.Spec)
	out := settings{
		Conf: conf{
			SmartStart: true, Binding: string(s.Drop), Tier: "live",
			SiteUUID: string(s.Spec.Environment.Site()), Environment: string(s.Spec.Environment.Name()),
			FilePublicPath: mount, FilePrivatePath: mount + "/" + PrivateFolder, FileDirectoryPath: mount,
			FileTemporaryPath: s.Layout.Tmp, FileDirectoryTemp: s.Layout.Tmp,
		},
		DrupalHashSalt: s.Secrets.HashSalt, ConfigDirectoryName: "config",
	}
	if s.Index != nil {
		out.Conf.IndexHost, out.Conf.IndexPort = s.Index.Host, s.Index.Port
	}
	if s.Cache != nil {
		out.Conf.RedisHost, out.Conf.RedisPort, out.Conf.RedisPassword = s.Cache.Host, s.Cache.Port, s.Cache.Password
	}
	if binding, name := Database(s.Spec); binding != events.BindingID("") {
		out.Databases = map[string]map[string]database{"default": {"default": {
			Host: DatabaseHost, Port: DatabasePort, Username: name, Password: s.Secrets.DBPassword,
			Database: name, Driver: "mysql",
		}}}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		panic("internal error: " + err.Error()) // plain strings, numbers and maps of them
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
