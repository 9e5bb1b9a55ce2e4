package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
	"pantheon/runtime/require"
)

func TestTables(t *testing.T) {
	drops := []api.Drop{
		{ID: "1", SiteName: "blog", Environment: "dev", State: "awake", HostName: "one", MemoryMiB: 512},
		{ID: "22", SiteName: "grüße", Environment: "live", State: "failed", MemoryMiB: 64, Reason: "exit\nstatus \x1b[31m78"},
	}
	for _, c := range []struct {
		flags cli
		want  string
	}{
		{cli{format: "table"}, "" +
			"ID  ENVIRONMENT  STATE   HOST  MEMORY_MIB  REASON\n" +
			"1   blog.dev     awake   one   512         -\n" +
			"22  grüße.live   failed  -     64          exit status \uFFFD[31m78\n"},
		{cli{format: "csv", fields: []string{"state", "id"}}, "state,id\nawake,1\nfailed,22\n"},
		{cli{format: "table", field: "id"}, "1\n22\n"},
		{cli{format: "json", fields: []string{"state"}}, "[\n  {\n    \"state\": \"awake\"\n  },\n  {\n    \"state\": \"failed\"\n  }\n]\n"},
	} {
		var out bytes.Buffer
		c.flags.out = &out
		if err := show(&c.flags, drops, dropColumns()); err != nil {
			t.Error(err)
		}
		if out.String() != c.want {
			t.Errorf("got\n%swant\n%s", out.String(), c.want)
		}
	}
	var out bytes.Buffer
	if err := showOne(&cli{format: "table", out: &out, fields: []string{"id", "state"}}, drops[0], dropColumns()); err != nil || out.String() != "id     1\nstate  awake\n" {
		t.Errorf("one: %q, %v", out.String(), err)
	}
	var empty bytes.Buffer
	if err := show(&cli{format: "json", out: &empty}, []api.Drop{}, dropColumns()); err != nil || empty.String() != "[]\n" {
		t.Errorf("none: %q, %v", empty.String(), err)
	}
}

func TestSiteAndEnvironment(t *testing.T) {
	for args, want := range map[string]string{
		"blog.dev": "blog dev", "blog dev": "blog dev", "my-blog.feature-1": "my-blog feature-1",
		"blog": "", ".dev": "", "blog.": "", "a.b.c": "",
	} {
		site, environment, err := siteAndEnvironment(strings.Fields(args))
		if got := strings.TrimSpace(site + " " + environment); got != want {
			t.Errorf("%q: %q, %v", args, got, err)
		}
	}
}

func TestMomentOf(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2h": "2026-03-01T10:00:00Z", "90s": "2026-03-01T11:58:30Z", "2026-01-02T03:04:05Z": "2026-01-02T03:04:05Z", "soon": "",
	} {
		at, err := momentOf(text, now)
		if got := at.Format(time.RFC3339); (want == "") != (err != nil) || err == nil && got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

func TestExamine(t *testing.T) {
	findings, install := examine([]require.Requirement{
		{Name: "git", Found: "/usr/bin/git", Install: "apt-get install -y git"},
		{Name: "php-fpm8.2", Install: "apt-get install -y php8.2-fpm"},
		{Name: "mysqli", Install: "apt-get install -y php8.2-mysql"},
		{Name: "pdo_mysql", Install: "apt-get install -y php8.2-mysql"},
	})
	if install != "apt-get install -y php8.2-fpm php8.2-mysql" {
		t.Errorf("install line %q", install)
	}
	if findings[0].Install != "" || findings[1].Install == "" {
		t.Errorf("findings %+v", findings)
	}
}

func TestDoctorWithoutPHP(t *testing.T) {
	_, install := examine(phpRequirements("9.9"))
	want := "apt-get install -y php9.9-apcu php9.9-cli php9.9-curl php9.9-fpm php9.9-gd php9.9-intl php9.9-mbstring php9.9-mysql php9.9-opcache php9.9-xml php9.9-zip"
	if install != want {
		t.Errorf("install line %q", install)
	}
}

func TestProgressLines(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, false)
	record := api.Workflow{Steps: []api.WorkflowStep{{Name: "claim_name", State: "done"}, {Name: "create_site", State: "running"}}}
	p.show(record)
	if out.Len() > 0 {
		t.Errorf("a workflow that has just begun is talked about: %q", out.String())
	}
	p.start = p.start.Add(-2 * quietPeriod)
	p.show(record)
	p.show(record)
	record.Steps[1].State = "failed"
	p.show(record)
	p.end()
	if want := "    done  claim name\n  failed  create site\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestExitCodesAndHints(t *testing.T) {
	var out bytes.Buffer
	c := &cli{errors: &out}
	code := c.fail(t.Context(), problem.New(problem.Conflict, "cannot create the site: the name blog is taken").WithHint("choose another"))
	if code != 65 || out.String() != "pantheon: cannot create the site: the name blog is taken\nhint: choose another\n" {
		t.Errorf("exit code %d: %q", code, out.String())
	}
}

func TestDropStates(t *testing.T) {
	environment := api.Environment{Drops: []api.Drop{{State: "asleep"}, {State: "awake"}, {State: "asleep"}}}
	if got := dropStates(environment); got != "2 asleep, 1 awake" {
		t.Error(got)
	}
	order := []api.Environment{{Name: "live"}, {Name: "b"}, {Name: "dev"}, {Name: "a"}, {Name: "test"}}
	var names []events.EnvironmentName
	for range order {
		least := order[0]
		for _, e := range order[1:] {
			if environmentOrder(e, least) < 0 {
				least = e
			}
		}
		names = append(names, least.Name)
		for i := range order {
			if order[i].Name == least.Name {
				order = append(order[:i:i], order[i+1:]...)
				break
			}
		}
	}
	if len(names) != 5 || names[0] != "dev" || names[2] != "live" || names[4] != "b" {
		t.Errorf("order %v", names)
	}
}
