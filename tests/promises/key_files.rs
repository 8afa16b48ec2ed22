//! `tollgate key` on policies and key files: what it changes, and what it leaves alone.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use tollgate::keys::KeyDigest;

use super::support::key;

fn tollgate(folder: &Path, arguments: &[&str]) -> Output {
    let command =
        Command::new(env!("CARGO_BIN_EXE_tollgate")).args(arguments).current_dir(folder).output();
    command.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The exit code and the messages.
fn end(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), text(&output.stderr))
}

fn list(folder: &Path, policy: &str) -> Vec<Value> {
    let output = tollgate(folder, &["key", "list", "--json", "--policy", policy]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    listed["keys"].as_array().unwrap().clone()
}

/// A policy with a key of its own and a key file with another, written as people write.
struct Folder {
    folder: TempDir,
    policy: String,
    keys: String,
}

impl Folder {
    fn new() -> Self {
        let (inner, outer) = (key("inner", "a", "").1, key("outer", "b", "").1);
        let policy = format!(
            "# Ours.\r\nversion = 1\r\n\r\n[api_keys] # all of them\r\nfile = 'keys.toml'\r\nprefix = \"acme\"\r\n\r\n\
             {}\r\n# The rule.\r\n[[rule]]\r\npath = \"/\"   # the root\r\nname = \"a\"\r\n",
            inner.trim_end().replace('\n', "\r\n")
        );
        let keys = format!(
            "# Hand-made.\n\n{}scopes = [ 'x:y',\n  \"z\" ] # two\nexpires = 2100-01-01T00:00:00Z\n# That was it.\n",
            outer.trim_end().replace("[[api_keys.key]]", "[[ key ]]") + "\n"
        );
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("policy.toml"), &policy).unwrap();
        fs::write(folder.path().join("keys.toml"), &keys).unwrap();
        Self { folder, policy, keys }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let arguments = [&["key"], arguments, &["--policy", "policy.toml"]].concat();
        tollgate(self.path(), &arguments)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    fn unchanged(&self) {
        assert_eq!(self.read("policy.toml"), self.policy);
        assert_eq!(self.read("keys.toml"), self.keys);
    }
}

/// What `after` has that `before` has not, where nothing was taken away.
fn added(before: &str, after: &str) -> String {
    let common = before.bytes().zip(after.bytes()).take_while(|(a, b)| a == b).count();
    let rest = &before[common..];
    assert!(after.ends_with(rest), "{after}");
    after[common..after.len() - rest.len()].to_owned()
}

#[test]
fn keys_of_a_policy_and_its_file_are_listed_without_digests() {
    let folder = Folder::new();
    let listed = list(folder.path(), "policy.toml");
    let ids: Vec<_> = listed.iter().map(|key| (&key["id"], &key["in"], &key["state"])).collect();
    let valid = &Value::from("valid");
    assert_eq!(
        ids,
        [
            (&"inner".into(), &"policy.toml".into(), valid),
            (&"outer".into(), &"keys.toml".into(), valid)
        ]
    );
    assert_eq!(listed[1]["scopes"], serde_json::json!(["x:y", "z"]));
    assert_eq!(listed[1]["expires"], "2100-01-01T00:00:00Z");
    assert_eq!(list(folder.path(), "keys.toml").len(), 1, "a key file alone");

    let shown = text(&folder.run(&["list", "--client", "b"]).stdout);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("outer  b"), "{shown}");
    assert!(!shown.contains("sha256") && !format!("{listed:?}").contains("sha256"));

    let broken = folder.keys.replace("'x:y'", "7");
    fs::write(folder.path().join("keys.toml"), broken).unwrap();
    let (code, error) = end(&folder.run(&["list"]));
    assert_eq!(code, 1);
    assert!(error.contains("`outer`") && error.contains("`scopes`"), "{error}");
}

#[test]
fn what_is_revoked_gains_one_line_and_all_else_stays() {
    let folder = Folder::new();
    assert_eq!(end(&folder.run(&["revoke", "outer"])).0, 0);
    assert_eq!(added(&folder.keys, &folder.read("keys.toml")), "revoked = true\n");
    assert_eq!(end(&folder.run(&["revoke", "inner"])).0, 0);
    assert_eq!(added(&folder.policy, &folder.read("policy.toml")), "revoked = true\r\n");
    assert!(list(folder.path(), "policy.toml").iter().all(|key| key["state"] == "revoked"));

    let before = folder.read("keys.toml");
    let (code, message) = end(&folder.run(&["revoke", "outer"]));
    assert!(code == 0 && message.contains("already"), "{message}");
    assert_eq!(folder.read("keys.toml"), before);

    let (code, error) = end(&folder.run(&["revoke", "outre"]));
    assert_eq!(code, 2);
    assert_eq!(error, "error: there is no key `outre`\nhelp: did you mean `outer`?\n");

    // Written otherwise: the value alone is replaced, and inline tables stay inline.
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let inline = format!(
        "key = [ # all\n  {{ id = 'a', client = 'c', digest = '{}' }}, # one\n  \
         {{ id = 'b', client = 'c', digest = '{}', revoked = false }},\n]\n",
        digest("1"),
        digest("2")
    );
    fs::write(folder.path().join("inline.toml"), &inline).unwrap();
    for id in ["a", "b"] {
        let arguments = ["key", "revoke", id, "--policy", "inline.toml"];
        assert_eq!(end(&tollgate(folder.path(), &arguments)).0, 0);
    }
    let wanted = inline
        .replace("' }, # one", "', revoked = true }, # one")
        .replace("revoked = false", "revoked = true");
    assert_eq!(folder.read("inline.toml"), wanted);
    let new = ["key", "new", "--client", "d", "--id", "d", "--write", "inline.toml"];
    assert_eq!(end(&tollgate(folder.path(), &new)).0, 0);
    assert_eq!(list(folder.path(), "inline.toml")[2]["id"], "d");
}

#[test]
fn a_new_key_stands_behind_the_others_and_all_else_stays() {
    let folder = Folder::new();
    let new = |id: &str, file: &str| {
        let output = folder.run(&["new", "--client", "c", "--id", id, "--write", file]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let key = text(&output.stdout);
        assert!(key.starts_with("acme_"), "{key}");
    };
    new("third", "policy.toml");
    let entry = added(&folder.policy, &folder.read("policy.toml"));
    assert!(entry.contains("[[api_keys.key]]\r\nid      = \"third\"\r\n"), "{entry:?}");
    assert_eq!(entry.matches('\n').count(), entry.matches("\r\n").count());
    let policy = folder.read("policy.toml");
    assert!(policy.find("third") < policy.find("# The rule."), "{policy}");
    new("fourth", "keys.toml");
    let entry = added(&folder.keys, &folder.read("keys.toml"));
    assert!(entry.starts_with("\n[[key]]\nid      = \"fourth\"\n"), "{entry:?}");
    for (id, file) in [("outer", "policy.toml"), ("inner", "keys.toml"), ("third", "keys.toml")] {
        let taken = folder.run(&["new", "--client", "c", "--id", id, "--write", file]);
        assert_eq!(taken.status.code(), Some(2), "{id} is in the other file");
    }
    // The first key of a key file that the policy names already.
    fs::remove_file(folder.path().join("keys.toml")).unwrap();
    new("fifth", "keys.toml");
    assert_eq!(list(folder.path(), "policy.toml").len(), 3);
}

#[test]
fn a_rotated_key_has_a_successor_with_its_terms_and_ends_after_the_overlap() {
    let folder = Folder::new();
    let output = folder.run(&["rotate", "outer", "--overlap", "0s", "--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&shown["id"], &shown["replaces"]), (&"outer-2".into(), &"outer".into()));
    assert!(shown["key"].as_str().unwrap().starts_with("acme_"));
    let listed = list(folder.path(), "policy.toml");
    let find = |id: &str| listed.iter().find(|key| key["id"] == id).unwrap();
    assert_eq!(
        (&find("outer")["state"], &find("outer-2")["state"]),
        (&"expired".into(), &"valid".into())
    );
    for term in ["client", "scopes", "expires"] {
        let before =
            if term == "expires" { &"2100-01-01T00:00:00Z".into() } else { &find("outer")[term] };
        assert_eq!(&find("outer-2")[term], before, "{term}");
    }
    let keys = folder.read("keys.toml");
    assert!(
        keys.contains("\"z\" ] # two\nexpires = ") && keys.contains("# That was it."),
        "{keys}"
    );
    assert!(!keys.contains(shown["key"].as_str().unwrap()));

    let output = folder.run(&["rotate", "outer-2"]);
    let key = text(&output.stdout);
    assert!(output.status.success() && key.lines().count() == 1 && key.starts_with("acme_"));
    let listed = list(folder.path(), "policy.toml");
    let states: Vec<_> = listed.iter().map(|key| (&key["id"], &key["state"])).collect();
    assert!(states.contains(&(&"outer-2".into(), &"valid".into())), "for seven days: {states:?}");
    assert!(states.contains(&(&"outer-3".into(), &"valid".into())), "{states:?}");

    let before = folder.read("keys.toml");
    for (arguments, help) in [
        (&["outer"][..], "--expires 90d"),
        (&["outer-2", "--new-id", "inner"], "--new-id"),
        (&["outer-2", "--new-id", "a b"], "the id of a key has 1 to 64"),
        (&["absent"], "tollgate key list"),
    ] {
        let (code, error) = end(&folder.run(&[&["rotate"], arguments].concat()));
        assert!(code == 2 && error.contains(help), "{error}");
    }
    assert!(folder.run(&["revoke", "inner"]).status.success());
    let (code, error) = end(&folder.run(&["rotate", "inner"]));
    assert!(code == 2 && error.contains("tollgate key new"), "{error}");
    assert_eq!(folder.read("keys.toml"), before);
}

#[test]
fn a_table_is_imported_whole_or_not_at_all() {
    let folder = Folder::new();
    let import = |table: &str, more: &[&str]| {
        fs::write(folder.path().join("keys.csv"), table).unwrap();
        folder.run(&[&["import", "--csv", "keys.csv"], more].concat())
    };
    let digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
    let (code, error) =
        end(&import(&format!("id,client,digest\none,c,{digest}\ntwo,c,tg_secret\n"), &[]));
    assert_eq!(code, 1);
    let wanted = "keys.csv:3:7: `digest` is invalid\n  |\n3 | two,c,*********\n  |       ^^^^^^^^^ is not a valid `digest`\nhelp: write the SHA-256 digest";
    assert!(error.starts_with(wanted), "{error}");
    assert!(error.ends_with("nothing was imported: 1 fault\n"), "{error}");
    let (code, error) = end(&import("id,client,key\none,c,foo\n", &[]));
    assert!(code == 1 && error.contains("--hash-keys"), "{error}");
    let (code, error) = end(&import(&format!("id,client,digest\ninner,c,{digest}\n"), &[]));
    assert!(code == 1 && error.contains("the id of: inner"), "{error}");
    folder.unchanged();

    let table = "id,client,key,scopes,plan\none,c,foo,x y,gold\n\"two\",\"d, e\",bar,,\n";
    let (code, message) = end(&import(table, &["--hash-keys"]));
    assert_eq!((code, message.as_str()), (0, "2 keys were added to keys.toml.\n"));
    let listed = list(folder.path(), "policy.toml");
    assert_eq!((&listed[2]["id"], &listed[2]["plan"]), (&"one".into(), &"gold".into()));
    assert_eq!((&listed[3]["id"], &listed[3]["client"]), (&"two".into(), &"d, e".into()));
    let keys = folder.read("keys.toml");
    assert!(keys.contains(digest) && !keys.contains("foo"));
    let again = import(&format!("id,client,digest\nthree,c,{digest}\n"), &[]);
    assert!(again.status.code() == Some(1) && text(&again.stderr).contains("the digest of: three"));
    assert_eq!(import("id,client,digest\n", &[]).status.code(), Some(0), "none");
    assert_eq!(folder.run(&["import", "--csv", "absent.csv"]).status.code(), Some(2));
}

#[test]
fn writers_at_once_lose_nothing() {
    let folder = Folder::new();
    let writers: Vec<_> = (0..12)
        .map(|number| {
            Command::new(env!("CARGO_BIN_EXE_tollgate"))
                .args(["key", "new", "--client", "c", "--policy", "policy.toml"])
                .args(["--id", &format!("new-{number}"), "--write", "keys.toml"])
                .current_dir(folder.path())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    let listed = list(folder.path(), "keys.toml");
    assert_eq!(listed.len(), 1 + 12);
    let files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "nothing is left behind: {files:?}");
}

#[cfg(unix)]
#[test]
fn links_and_permissions_stay() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let folder = Folder::new();
    let real = folder.path().join("real");
    fs::create_dir(&real).unwrap();
    fs::rename(folder.path().join("keys.toml"), real.join("keys-1.toml")).unwrap();
    symlink("real/keys-1.toml", folder.path().join("keys.toml")).unwrap();
    symlink("real/absent.toml", folder.path().join("more.toml")).unwrap();
    fs::set_permissions(real.join("keys-1.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(folder.run(&["revoke", "outer"]).status.success());
    let new = folder.run(&["new", "--client", "c", "--write", "more.toml"]);
    assert!(new.status.success(), "{}", text(&new.stderr));
    assert!(fs::symlink_metadata(folder.path().join("keys.toml")).unwrap().is_symlink());
    let mode = fs::metadata(real.join("keys-1.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(fs::read_to_string(real.join("keys-1.toml")).unwrap().contains("revoked = true"));
    assert!(fs::read_to_string(real.join("absent.toml")).unwrap().contains("[[key]]"));
}

#[test]
fn a_large_file_is_changed_where_the_key_is_and_listed_whole() {
    let folder = Folder::new();
    let entry = |number: usize, id: &str| {
        let digest = KeyDigest::of(&number.to_be_bytes());
        let client = "client = 'c' # theirs";
        format!("[[key]]\r\nid = {id}\r\n{client}\r\ndigest = \"{digest}\"\r\n# {number}\r\n\r\n")
    };
    let mut entries: Vec<String> =
        (0..4_000).map(|number| entry(number, &format!("\"k{number}\""))).collect();
    entries[700] = entry(700, "\"k\\u003700\"");
    let write = |text: &str| fs::write(folder.path().join("keys.toml"), text).unwrap();
    let before = entries.concat();
    write(&before);
    let listed = list(folder.path(), "keys.toml");
    assert_eq!(listed.len(), 4_000);
    assert_eq!((&listed[700]["id"], &listed[3_999]["id"]), (&"k700".into(), &"k3999".into()));

    for id in ["k2000", "k700"] {
        assert_eq!(end(&folder.run(&["revoke", id])).0, 0);
    }
    for number in [700, 2_000] {
        let comment = format!("# {number}\r\n");
        entries[number] =
            entries[number].replace(&comment, &format!("revoked = true\r\n{comment}"));
    }
    assert_eq!(folder.read("keys.toml"), entries.concat());
    let (code, message) = end(&folder.run(&["revoke", "k700"]));
    assert!(code == 0 && message.contains("already"), "{message}");
    let (code, error) = end(&folder.run(&["revoke", "k70000"]));
    assert!(code == 2 && error.contains("did you mean"), "{error}");

    let output = folder.run(&["rotate", "k5", "--new-id", "k5-new", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let listed = list(folder.path(), "policy.toml");
    let find = |id: &str| listed.iter().find(|key| key["id"] == id).unwrap();
    assert!(find("k5")["expires"].is_string() && find("k5-new")["expires"].is_null());
    assert_eq!(find("k5-new")["client"], "c");
    assert_eq!(listed.len(), 1 + 4_001);
    let after = folder.read("keys.toml");
    let ending = after.lines().filter(|line| line.starts_with("expires")).count();
    assert!(ending == 1 && after.matches('\n').count() == after.matches("\r\n").count());
    let entries = [&entries[..5], &entries[6..]].concat();
    assert!(entries.iter().all(|entry| after.contains(entry)));
}
