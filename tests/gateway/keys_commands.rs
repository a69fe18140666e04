//! `tollgate keys …`, beside a gateway that runs.

use serde_json::{Value, json};

use crate::support::gateway::run_to_end;
use crate::support::wait::{until, until_true};
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/either"
price = "$0.01"
units = 1

[[routes]]
path  = "/half"
units = 0.5

[[plans]]
name     = "five"
price    = "$1"
units    = 5
duration = "30d"

[[plans]]
name     = "endless"
price    = "$2"
duration = "30d"
"#;

fn start() -> World {
    Setup { routes: ROUTES, ..Setup::default() }.start()
}

impl World {
    /// Runs a command on this gateway's file; the arguments after it are separated by `|`.
    #[track_caller]
    fn keys(&self, command: &str, more: &str) -> (i32, String, String) {
        let file = self.gateway.config_file();
        let mut arguments = vec!["keys", command, "tollgate.toml"];
        arguments.extend(more.split('|').filter(|argument| !argument.is_empty()));
        let (code, stdout, stderr) = run_to_end(file.parent().unwrap(), &arguments);
        (code.unwrap(), stdout, stderr)
    }

    /// What a command that goes well prints.
    #[track_caller]
    fn kept(&self, command: &str, more: &str) -> String {
        let (code, stdout, stderr) = self.keys(command, more);
        assert_eq!(code, 0, "{command} {more}: {stdout}{stderr}");
        stdout
    }

    #[track_caller]
    fn minted_key(&self, more: &str) -> String {
        self.kept("mint", more).trim_end().to_owned()
    }

    fn objects(&self, command: &str, more: &str) -> Vec<Value> {
        self.kept(command, more).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn id_of(&self, key: &str) -> String {
        let hint = format!("{}…", &key[..12]);
        let keys = self.objects("list", "--json");
        let key = keys.iter().find(|listed| listed["hint"] == hint.as_str()).unwrap();
        key["id"].as_str().unwrap().to_owned()
    }

    fn opens(&self, key: &str) -> u16 {
        self.get("/either", &[("X-API-KEY", key)]).status
    }

    /// Imports a file of this text.
    fn import(&self, text: &str) -> (i32, String, String) {
        std::fs::write(self.gateway.config_file().with_file_name("keys.csv"), text).unwrap();
        self.keys("import", "keys.csv")
    }
}

#[test]
fn a_key_that_is_minted_works_at_once() {
    let world = start();
    assert_eq!(world.kept("list", ""), "no keys\n");
    let (code, stdout, stderr) = world.keys("mint", "--plan|five|--for|acme|--units|2|--expires|30d");
    let key = stdout.trim_end();
    assert!(code == 0 && key.starts_with("tg_live_") && key.lines().count() == 1, "{stdout}{stderr}");
    assert!(stderr.contains("plan five for acme (hol_") && !stderr.contains(key), "{stderr}");
    assert_eq!([(); 3].map(|()| world.opens(key)), [200, 200, 402]);

    // What it has in memory of the same holder gives way to a new plan within a second.
    let second = world.minted_key("--plan|endless|--for|acme");
    until_true("the new plan", || world.opens(&second) == 200);
    assert_eq!(world.opens(key), 200, "the old key opens it as well");
    let third = world.kept("issue", "--holder|acme");
    assert_eq!(world.opens(third.trim_end()), 200);
}

#[test]
fn a_key_that_is_revoked_opens_nothing_within_a_second() {
    let world = start();
    let (used, unused) = (world.minted_key("--plan|endless|--for|acme"), world.minted_key("--plan|five|--for|bob"));
    assert_eq!(world.opens(&used), 200);
    for key in [&used, &unused] {
        let told = world.kept("revoke", &world.id_of(key));
        assert!(told.contains("opens nothing any more"), "{told}");
    }
    assert_eq!(world.opens(&unused), 402, "nothing of it was in memory");
    until_true("the end of the key", || world.opens(&used) == 402);

    let old = world.minted_key("--plan|endless|--for|carl");
    assert_eq!(world.opens(&old), 200);
    let new = world.kept("rotate", &world.id_of(&old));
    assert_eq!(world.opens(new.trim_end()), 200);
    until_true("the end of the old key", || world.opens(&old) == 402);
    let (code, _, stderr) = world.keys("rotate", &world.id_of(&used));
    assert!(code == 1 && stderr.contains("there is no working key key_"), "{stderr}");
}

#[test]
fn what_somebody_has_is_listed_and_shown() {
    let world = start();
    let (sold, given) = (world.buy("five"), world.minted_key("--plan|endless|--for|acme"));
    let table = world.kept("list", "");
    assert!(table.starts_with("MADE  ") && table.lines().count() == 3, "{table}");
    assert!(table.contains("acme") && table.contains("0 of no limit") && table.contains("0 of 5"), "{table}");
    let address = world.wallet.address().to_lowercase();
    for (filter, count) in [
        ("", 2),
        ("--plan|five", 1),
        ("--holder|acme", 1),
        ("--holder|nobody", 0),
        (&format!("--address|{address}"), 1),
    ] {
        assert_eq!(world.objects("list", &format!("--json|{filter}")).len(), count, "{filter}");
    }
    let (id, holder) = (world.id_of(&sold), world.objects("list", "--json|--plan|five")[0]["holder"].clone());
    let shown = world.kept("show", &id);
    assert_eq!(shown, world.kept("show", holder.as_str().unwrap()));
    for words in
        [world.wallet.address().as_str(), "plan five, 0 of 5 units used, until 20", "bought by pay_", ", sold 20"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let shown = world.kept("show", "acme");
    assert!(shown.contains("given") && shown.contains(" mint key_"), "{shown}");
    for key in [&sold, &given] {
        assert!(![&table, &shown, &world.kept("export", "")].iter().any(|text| text.contains(key.as_str())));
    }
}

#[test]
fn usage_is_told_by_key_route_and_day() {
    let world = start();
    let key = world.minted_key("--plan|endless|--for|acme");
    let id = world.id_of(&key);
    for target in ["/either", "/either", "/half"] {
        assert_eq!(world.get(target, &[("X-API-KEY", &key)]).status, 200);
    }
    let text = until("the calls in the books", || {
        let text = world.kept("usage", "--by|route,key");
        text.contains("* /half").then_some(text)
    });
    assert_eq!(text, format!("key,route,calls,units\r\n{id},* /either,2,2\r\n{id},* /half,1,0.5\r\n"));
    let all = world.objects("usage", "--by|holder|--format|json|--holder|acme");
    assert_eq!((&all[0]["calls"], &all[0]["units"]), (&json!(3), &json!(2.5)));
    assert_eq!(world.kept("usage", "--to|2020-01-01"), "day,key,route,calls,units\r\n");
    assert_eq!(world.keys("usage", "--by|payer").0, 2);
}

#[test]
fn keys_of_another_system_work_after_their_import() {
    let world = start();
    let rows = "key,for,plan,units,expires_at\n\
                old-system-key-number-one,alice,five,,\n\
                old-system-key-number-two,alice,five,,\n\
                old-system-key-number-three,bob,,2,2040-01-01T00:00:00Z\n\
                short,carl,five,,\n\
                old-system-key-number-four,a b,five,,\n\
                old-system-key-number-five,carl,none,,\n\
                old-system-key-number-six,carl,,,\n\
                old-system-key-number-seven,alice,endless,,\n\
                old-system-key-number-eight,,five,,\n\
                old-system-key-number-nine,carl,five,-1,\n\
                old-system-key-number-ten,carl\n";
    let (code, stdout, stderr) = world.import(rows);
    assert_eq!((code, stdout.as_str()), (1, "3 imported, 0 there already, 8 refused\n"), "{stderr}");
    for (line, words) in [
        (5, "16 to 1024"),
        (6, "not a name"),
        (7, "no plan \"none\""),
        (8, "neither a plan"),
        (9, "another subscription"),
        (10, "nothing says whose"),
        (11, "units is not"),
        (12, "has 2 cells"),
    ] {
        let start = format!("line {line}");
        assert!(stderr.lines().any(|told| told.starts_with(&start) && told.contains(words)), "{line}: {stderr}");
    }
    assert!(!stderr.contains("old-system"), "{stderr}");
    let three = "old-system-key-number-three";
    until_true("the imported key", || world.opens(three) == 200);
    assert_eq!([(); 2].map(|()| world.opens(three)), [200, 402]);
    // The two keys of one holder open one plan.
    let (one, two) = ("old-system-key-number-one", "old-system-key-number-two");
    assert_eq!([one, two, one, two, one, two].map(|key| world.opens(key)), [200, 200, 200, 200, 200, 402]);
    for refused in ["short", "old-system-key-number-four", "old-system-key-number-seven"] {
        assert_eq!(world.opens(refused), 402, "{refused}");
    }

    let listed = world.objects("list", "--json");
    let (_, stdout, _) = world.import(rows);
    assert_eq!(stdout, "0 imported, 3 there already, 8 refused\n");
    let ids = |keys: &[Value]| keys.iter().map(|key| key["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&world.objects("list", "--json")), ids(&listed));
    assert_eq!(world.opens(three), 402, "nothing was filled up");
    assert!(listed.iter().all(|key| key["origin"] == "imported" && key["hint"].as_str().unwrap().len() < 12));
}

#[test]
fn an_export_brings_keys_to_another_gateway() {
    let (from, to) = (start(), start());
    let (sold, given) = (from.buy("five"), from.minted_key("--plan|endless|--for|@acme"));
    let revoked = from.minted_key("--plan|five|--for|bob");
    from.kept("revoke", &from.id_of(&revoked));
    let another = from.kept("issue", "--holder|@acme").trim_end().to_owned();
    assert_eq!([(); 2].map(|()| from.opens(&sold)), [200, 200]);
    let text = until("what was used in the books", || {
        let text = from.kept("export", "");
        text.contains(",five,5,2,").then_some(text)
    });
    assert!(text.starts_with("id,hash,hint,origin,holder,name,plan,units,used,expires_at,"), "{text}");
    assert!(text.contains(",'@acme,"), "no cell is a formula: {text}");

    assert_eq!([&sold, &given, &another].map(|key| to.opens(key)), [402, 402, 402]);
    let (code, stdout, stderr) = to.import(&text);
    assert_eq!(
        (code, stdout.as_str()),
        (0, "3 imported, 0 there already, 1 revoked and left out, 0 refused\n"),
        "{stderr}"
    );
    until_true("the keys", || to.opens(&given) == 200);
    assert_eq!([&given, &another].map(|key| to.opens(key)), [200, 200]);
    assert_eq!([(); 4].map(|()| to.opens(&sold)), [200, 200, 200, 402], "what was used stays used");
    assert_eq!(to.opens(&revoked), 402);
    assert_eq!(to.upstream.last().head.all("x-tollgate-payer"), [from.wallet.address()]);
    assert_eq!(to.import(&text).1, "0 imported, 3 there already, 1 revoked and left out, 0 refused\n");
    let acme = |world: &World| world.objects("list", "--json|--holder|@acme")[0]["holder"].clone();
    assert_eq!(acme(&from), acme(&to));
    // On the gateway that they come from, it changes nothing.
    assert_eq!(from.import(&text).1, "0 imported, 3 there already, 1 revoked and left out, 0 refused\n");
    assert_eq!(from.objects("export", "--format|json").len(), 4);
}

#[test]
fn what_cannot_be_done_is_said_in_plain_words() {
    let world = start();
    for (command, more, words) in [
        ("mint", "--plan|none|--for|acme", "there is no plan \"none\"; the plans are five, endless"),
        ("mint", "--plan|five|--for|a b", "1 to 64 of"),
        ("mint", "--plan|five|--for|acme|--units|0", "more than no units"),
        ("mint", "--plan|five|--for|acme|--expires|2020-01-01", "ends in the future"),
        ("issue", "--holder|acme", "there is no holder \"acme\""),
        ("show", "acme", "there is no holder \"acme\""),
        ("rotate", "key_1", "there is no working key key_1"),
        ("revoke", "key_1", "there is no working key key_1"),
        ("import", "none.csv", "No such file"),
    ] {
        let (code, stdout, stderr) = world.keys(command, more);
        assert_eq!((code, stdout.as_str()), (1, ""), "{command} {more}: {stderr}");
        assert!(stderr.contains(words), "{command} {more}: {stderr}");
    }
    for (command, more) in
        [("mint", "--plan|five"), ("mint", "--plan|five|--for|acme|--units|x"), ("usage", "--from|today"), ("show", "")]
    {
        assert_eq!(world.keys(command, more).0, 2, "{command} {more}");
    }
    let (code, _, stderr) = world.import("name,plan\nacme,five\n");
    assert!(code == 1 && stderr.contains("neither a column"), "{stderr}");
    assert_eq!(world.kept("list", ""), "no keys\n");
}
