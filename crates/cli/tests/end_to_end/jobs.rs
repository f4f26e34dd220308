//! Jobs, as a person or a script meets them.

use serde_json::Value;

use super::{Fleet, eventually};

/// A job of each sort, and a service they have nothing to do with.
const JOBS: &str = r#"
[daemons.web]
command = ["sleep", "1000"]

[daemons.nightly]
shell = "echo saved; sleep 0.2"
schedule = { cron = "30 2 * * *", tz = "Europe/Oslo", overlap = "queue-one" }

[daemons.often]
shell = "echo tick"
schedule = { every = "1s" }

[daemons.bad]
shell = "echo it is broken >&2; exit 3"
kind = "job"

[daemons.once]
shell = "echo migrated"
schedule = "once"

[daemons.slow]
command = ["sleep", "1000"]
kind = "job"
stop = { grace = "1s" }

[daemons.reindex]
command = "true"
watch = "docs"
"#;

fn states(status: &Value) -> Vec<(&str, &str)> {
    let daemons = status["daemons"].as_array().unwrap().iter();
    daemons
        .map(|d| (d["name"].as_str().unwrap(), d["state"].as_str().unwrap()))
        .collect()
}

#[test]
fn next_times_need_no_manager() {
    let fleet = Fleet::new(JOBS);
    let next = fleet.eud("next", 0);
    next.says("nightly").says("02:30:00 +0").says("IN");
    next.says("by hand: eud trigger bad").says("docs changes");
    let args = "next nightly -n 2 --after 2026-10-24T12:00:00Z";
    let jobs = fleet.json(args, 0)["jobs"].clone();
    assert_eq!(jobs[0]["zone"], "Europe/Oslo");
    assert_eq!(
        jobs[0]["times"],
        serde_json::json!([
            { "local": "2026-10-25T02:30:00+02:00", "utc": "2026-10-25T00:30:00Z" },
            { "local": "2026-10-26T02:30:00+01:00", "utc": "2026-10-26T01:30:00Z" },
        ])
    );
    fleet.eud("next web", 2).says("only jobs have times");
    fleet.eud("next nigthly", 5).says("did you mean `nightly`?");
    fleet.eud("next --tz UTC", 2).says("there is none");
    assert!(!fleet.path().join(".eud").exists());
}

#[test]
fn a_job_is_triggered_by_hand_and_its_end_is_waited_for() {
    let fleet = Fleet::new(JOBS);
    fleet.eud("up", 0).says("7 daemons up in").says("scheduled");
    fleet.eud("trigger nightly", 0).says("triggered nightly");
    fleet
        .eud("trigger nightly --wait", 0)
        .says("nightly succeeded in");
    let bad = fleet.eud("trigger bad --wait", 1);
    bad.says("bad failed").says("it is broken");
    bad.says("next: eud why bad");
    fleet
        .eud("why bad", 0)
        .says("exited with code 3")
        .says("eud trigger bad");
    fleet.eud("trigger web", 7).says("only jobs are triggered");
    fleet.eud("trigger wbe", 5).says("did you mean");
    fleet.eud("trigger slow --wait=300ms", 6);
    let again = fleet.json("trigger slow", 1);
    assert_eq!(again["accepted"]["unchanged"][0][0], "slow");
    let runs = fleet.json("runs nightly", 0);
    assert_eq!(runs[0]["cause"], "hand");
    assert_eq!(runs.as_array().unwrap().len(), 2);
}

#[test]
fn status_tells_jobs_from_services() {
    let fleet = Fleet::new(JOBS);
    fleet.eud("up", 0);
    eventually("the first tick", || {
        let job = fleet.daemon("often")["job"].clone();
        job["last_success_at"].as_str().map(str::to_owned)
    });
    let status = fleet.json("status", 0);
    let states = states(&status);
    assert!(states.contains(&("nightly", "scheduled")), "{states:?}");
    assert!(states.contains(&("once", "done")), "{states:?}");
    let summary = status["summary"].as_object().unwrap();
    let sum: u64 = summary
        .iter()
        .filter(|(key, _)| *key != "total")
        .map(|(_, count)| count.as_u64().unwrap())
        .sum();
    assert_eq!(sum, summary["total"].as_u64().unwrap());
    fleet.eud("status", 0).says("scheduled").says("next in");
    fleet
        .eud("status scheduled", 0)
        .says("nightly")
        .says_not("web");
    fleet
        .eud("show nightly", 0)
        .says("cron 30 2 * * * (Europe/Oslo)")
        .says("one time waits while it runs")
        .says("never");
    fleet.eud("why nightly", 0).says_not("Fix first");
    fleet.eud("stop nightly", 0);
    fleet.eud("next", 0).says("`eud start nightly` arms it");
}

#[test]
fn gauges_are_listed_with_their_limits() {
    let text = "[daemons.web]\ncommand = [\"sleep\", \"1000\"]\n\
                [gauges.depth]\nfiles = \"in/*\"\nover = 5\nfrozen = \"10m\"\n\
                [gates.ingest]\ngauge = \"depth\"\nmembers = \"web\"\n";
    let fleet = Fleet::new(text);
    fleet.eud("check", 0).says("1 gauge, 1 gate");
    fleet
        .eud("gauges", 4)
        .says("over 5, frozen 10m")
        .says("no manager is running");
    let known = fleet.json("gauges", 4);
    assert_eq!(known["gauges"][0]["level"], "unknown");
    assert_eq!(known["gauges"][0]["limits"]["over"]["at"], 5.0);
    assert_eq!(known["gates"][0]["members"][0], "web");
    let none = Fleet::new("[daemons.web]\ncommand = [\"sleep\", \"1000\"]\n");
    none.eud("up", 0);
    none.eud("gauges", 0).says("no gauges yet");
}
