//! That a file means the same whichever way it is read.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;
use crate::principal::KeyRecord;
use crate::scope::{Scope, ScopeHierarchy};
use crate::time::Wall;
use crate::verify::KeyRecords;

/// No file is small: each is looked through.
const AS_LIST: Bounds = Bounds { small: 0, whole: usize::MAX };
const AS_WHOLE: Bounds = Bounds { small: usize::MAX, whole: usize::MAX };

/// What reading a file ends with, as text: the keys, and what is said of the file.
#[derive(Debug, Default, Eq, PartialEq)]
struct Outcome {
    keys: Vec<String>,
    plans: Vec<String>,
    faults: Vec<String>,
    /// The kind and the line of each fault and warning.
    kinds: Vec<(String, usize)>,
}

impl Outcome {
    fn has_syntax_fault(&self) -> bool {
        self.kinds.iter().any(|(kind, _)| kind == "not-toml")
    }
}

problems! {
    /// Where a plan is named.
    enum Used: Fault {
        /// A plan.
        Plan { name: String } => { message: "{name}", label: "here", help: "none is needed" }
    }
}

fn read(text: &str, bounds: Bounds) -> Outcome {
    read_beside(None, &Arc::default(), text, bounds).0
}

/// Reads a file while these keys are in force.
fn read_beside(
    known: Option<&Arc<KeyRecords>>,
    hierarchy: &Arc<ScopeHierarchy>,
    text: &str,
    bounds: Bounds,
) -> (Outcome, Arc<KeyRecords>) {
    let faults = Faults::at_time(Wall::from_seconds(1_800_000_000));
    let mut loaded = LoadedKeys::new(hierarchy, known);
    KeyFile { name: "keys.toml", text, faults: &faults, counted: Cell::default() }
        .read(&mut loaded, bounds);
    let all = loaded.finish(&faults);
    let key = |key: &Arc<KeyRecord>| {
        let times = (key.not_before(), key.expires(), key.revoked);
        format!("{} {} {:?} {times:?} {:?}", key.id, key.client, key.digest, key.terms)
    };
    let mut keys: Vec<String> = all.records.iter().map(key).collect();
    let mut plans: Vec<String> = Vec::new();
    for plan in &all.plans {
        for (at, others) in plan.uses.iter() {
            let fault = Fault::of(&at.place, &Used::Plan { name: plan.name.to_string() });
            plans.push(format!("{fault} {others}"));
        }
    }
    keys.sort();
    plans.sort();
    let found = faults.into_sorted();
    let kind = |fault: &Fault| (fault.name().unwrap_or_default().to_owned(), fault.line());
    let kinds = found.iter().map(kind).collect();
    let faults = found.iter().map(Fault::to_string).collect();
    (Outcome { keys, plans, faults, kinds }, Arc::new(all.records))
}

/// `a` implies `b:c`, or nothing does.
fn hierarchy(implies: bool) -> Arc<ScopeHierarchy> {
    let scope = |text: &str| text.parse::<Scope>().unwrap();
    let direct = BTreeMap::from([(scope("a"), vec![scope("b:c")])]);
    Arc::new(if implies {
        ScopeHierarchy::new(&direct).unwrap()
    } else {
        ScopeHierarchy::default()
    })
}

fn digest(number: usize) -> String {
    format!("sha256:{number:064}")
}

/// An entry by numbers: how each of its parts is written. `number` tells it from others.
fn entry(header: &str, parts: &[u8; 9], number: usize) -> String {
    let pick = |part: usize, ways: &[String]| {
        // Nearly always one of the first, which are plain.
        let way = usize::from(parts[part]);
        let ways_of_all = if way < 200 { 3 } else { ways.len() };
        ways[way % ways_of_all].clone()
    };
    let own = |ways: &[&str]| -> Vec<String> {
        ways.iter().map(|way| way.replace('N', &number.to_string())).collect()
    };
    let digest = digest(number);
    [
        header.to_owned(),
        pick(
            0,
            &own(&[
                "id = \"kN\"\n",
                "id='kN' # its name\n",
                "\tid = \"k.N\"\r\n",
                "id = \"k\\u0061N\"\n",
                "\"id\" = \"kN\"\n",
                "id = \"two words N\"\n",
                "id = \"\"\n",
                "id = \"\"\"kN\"\"\"\n",
                "id = N\n",
                "id = \"kN\"\nid = \"kN\"\n",
                "id.x = \"kN\"\n",
                "id = \"it's N\"\n",
                "",
            ]),
        ),
        pick(
            1,
            &own(&[
                "client = \"acme\"\n",
                "client = 'é N'\n",
                "client = \"acme\" \n",
                "client = \"acme\\nN\"\n",
                "client = '''\n[[key]]\n'''\n",
                "client = \"\"\n",
                "cleint = \"acme\"\n",
                "client = [\"acme\"]\n",
                "client = \"a\u{7f}\"\n",
                "client = \"a\tb\"\n",
                "client = \"a\u{85}b\"\n",
                "client = { name = \"acme\" }\n",
            ]),
        ),
        pick(
            2,
            &[
                format!("digest = \"{digest}\"\n"),
                format!("digest = '{digest}'#\n"),
                format!("  digest  =  \"{digest}\"\n\n"),
                format!("digest = \"{}\"\n", digest.to_uppercase()),
                format!("key = \"{digest}\"\n"),
                "digest = \"sha256:00\"\n".to_owned(),
                String::new(),
            ],
        ),
        pick(
            3,
            &own(&[
                "scopes = [\"a\", \"b:c\"]\n",
                "scopes = []\n",
                "",
                "scopes = [\n  \"a\",\n  'b',\n]\n",
                "scopes = [ \"b\" , \"a\", ] # two\n",
                "scopes = [\"a\", # one\n \"b\"]\n",
                "scopes = [\"a b\"]\n",
                "scopes = [\"\"]\n",
                "scopes = [7]\n",
                "scopes = [[\"a\"]]\n",
                "scopes = [\n[\"a\"]\n]\n",
                "scopes = \"a\"\n",
                "scopes = [\"a\" \"b\"]\n",
                "scopes = [\"a\"\n",
                "scopes = [\"a]\n",
            ]),
        ),
        pick(
            4,
            &own(&[
                "",
                "roles = [\"clerk\"]\n",
                "",
                "roles = ['\u{1}']\n",
                "roles = [\"a\\tb\"]\n",
            ]),
        ),
        pick(
            5,
            &own(&[
                "",
                "plan = \"free\"\n",
                "plan = 'paid'\n",
                "plan = \"a,b\"\n",
                "plan = true\n",
            ]),
        ),
        pick(
            6,
            &own(&[
                "",
                "expires = 2027-06-01T00:00:00Z\n",
                "not_before = 2020-01-01T00:00:00Z\nexpires = 2028-01-01T00:00:00Z # later\n",
                "expires = 2026-06-01T00:00:00Z\n",
                "expires = 2036-06-01T00:00:00Z\n",
                "expires = 2027-06-01T00:00:00+02:00\n",
                "expires = 2027-06-01t00:00:00z\n",
                "expires = 2027-06-01 00:00:00.25Z\n",
                "expires = 2027-06-01T00:00Z\n",
                "expires = 2027-06-01\n",
                "expires = 2027-02-30T00:00:00Z\n",
                "expires = 2026-12-31T23:59:60Z\n",
                "expires = 1960-01-01T00:00:00Z\n",
                "expires = \"2027-06-01T00:00:00Z\"\n",
                "not_before = 2028-01-01T00:00:00Z\nexpires = 2027-01-01T00:00:00Z\n",
                "not_before = 1970-01-01T00:00:00Z\n",
            ]),
        ),
        pick(
            7,
            &own(&[
                "",
                "revoked = false\n",
                "revoked = true\n",
                "revoked = yes\n",
                "revoked = \"true\"\n",
                "revoked = true true\n",
                "addresses = [\"192.0.2.0/24\", '2001:db8::/32']\n",
                "addresses = [\"192.0.2.0/99\"]\n",
                "addresses = [\"192.0.2.7\"]\n",
            ]),
        ),
        pick(
            8,
            &own(&[
                "",
                "\n# [[key]]\n",
                " \t\r\n",
                "# \"quoted\" é\r\n",
                "# \u{1}\n",
                "#\u{feff}\n",
                "\r",
                "\u{feff}\n",
                "nonsense\n",
                "other = 1\n",
                "scopes.x = 1\n",
                "[key.meta]\nx = 1\n",
                "[api_keys]\n",
                "  [api_keys]\nkey = []\n",
                "[other]\n",
                "key = 1\n",
                "# '''\n",
            ]),
        ),
    ]
    .concat()
}

fn document(mixed: bool) -> impl Strategy<Value = String> {
    let parts = proptest::collection::vec((any::<[u8; 9]>(), any::<u8>(), 0..4_usize), 0..6);
    let before = prop_oneof![
        8 => Just(""), 1 => Just("# a list\r\n\n"), 1 => Just("\u{feff}"), 1 => Just("\u{feff}  \n# é\n"),
        1 => Just("x = 1\n"), 1 => Just("key = []\n"), 1 => Just("# \u{2}\n"), 1 => Just("\t"),
    ];
    let one_title = any::<bool>();
    (before, parts, one_title, any::<bool>()).prop_map(move |(before, parts, of_policy, is_cut)| {
        let entries = parts.iter().enumerate().map(|(at, (parts, header, number))| {
            // Where they are mixed no two have one name: which of two is the second is the only difference.
            let (of_policy, number) =
                if mixed { (header % 2 == 0, at) } else { (of_policy, *number) };
            let headers = if of_policy {
                [
                    "[[api_keys.key]]\n",
                    "[[ api_keys . key ]]\r\n",
                    "  [[api_keys.key]] # x\n",
                    "[[\"api_keys\".key]]\n",
                ]
            } else {
                ["[[key]]\n", "[[ key ]]\r\n", "\t[[key]]# x\n", "[['key']]\n"]
            };
            let header = if *header < 240 { headers[usize::from(*header) % 3] } else { headers[3] };
            entry(header, parts, number)
        });
        let mut text = format!("{before}{}", entries.collect::<String>());
        if is_cut {
            text.truncate(text.trim_end().len());
        }
        text
    })
}

/// Both ways to read a file agree: in all where it is TOML, and in that it is none otherwise.
fn agree(text: &str) -> Result<(), TestCaseError> {
    let (whole, list) = (read(text, AS_WHOLE), read(text, AS_LIST));
    if whole.has_syntax_fault() {
        prop_assert!(list.has_syntax_fault(), "{text:?}\n{whole:#?}\n{list:#?}");
    } else {
        prop_assert_eq!(whole, list, "{:?}", text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_list_means_what_toml_means(text in document(false)) {
        agree(&text)?;
    }

    #[test]
    fn a_list_of_both_titles_means_what_toml_means(text in document(true)) {
        agree(&text)?;
    }

    #[test]
    fn a_list_with_a_slip_means_what_toml_means(
        text in document(false),
        at in any::<prop::sample::Index>(),
        slip in prop::sample::select(vec!["", "\"", "'", "[", "]", "#", "=", "\n", "\r", "\\", "[[key]]", "\u{0}", ",", " "]),
    ) {
        let mut characters: Vec<char> = text.chars().collect();
        let at = at.index(characters.len() + 1);
        if slip.is_empty() && at < characters.len() {
            characters.remove(at);
        } else {
            characters.splice(at..at, slip.chars());
        }
        agree(&characters.into_iter().collect::<String>())?;
    }

    #[test]
    fn a_list_means_the_same_whatever_was_in_force(
        before in document(true),
        now in document(true),
        implies in any::<[bool; 2]>(),
    ) {
        let [before_implies, now_implies] = implies.map(hierarchy);
        let (_, known) = read_beside(None, &before_implies, &before, AS_LIST);
        let (fresh, _) = read_beside(None, &now_implies, &now, AS_LIST);
        let (beside, _) = read_beside(Some(&known), &now_implies, &now, AS_LIST);
        prop_assert_eq!(fresh, beside);
    }
}

#[test]
fn keys_that_are_the_same_are_shared_with_those_in_force() {
    let text: String = (0..10).map(plain).collect();
    let (_, known) = read_beside(None, &hierarchy(false), &text, AS_LIST);
    let shared = |text: &str, hierarchy: &Arc<ScopeHierarchy>| {
        let (_, now) = read_beside(Some(&known), hierarchy, text, AS_LIST);
        let is_shared = |key: &&Arc<KeyRecord>| {
            known.by_id(&key.id).is_some_and(|known| Arc::ptr_eq(known, key))
        };
        (now.iter().filter(is_shared).count(), now.count())
    };
    assert_eq!(shared(&text, &hierarchy(false)), (10, 10));
    assert_eq!(shared(&format!("{text}{}", plain(11)), &hierarchy(false)), (10, 11));
    // Whatever is said of a key otherwise makes another one of it.
    for (says, now) in [
        ("id = \"k3\"", "id = \"k33\""),
        ("client = \"c\"", "client = \"d\""),
        ("plan = \"free\"", "plan = \"paid\""),
        ("plan = \"free\"", "plan = \"free\"\nrevoked = true"),
        ("plan = \"free\"", "plan = \"free\"\nexpires = 2027-06-01T00:00:00Z"),
        ("plan = \"free\"", "plan = \"free\"\nnot_before = 2020-01-01T00:00:00Z"),
        ("plan = \"free\"", "plan = \"free\"\nscopes = [\"a\"]"),
        ("plan = \"free\"", "plan = \"free\"\nroles = [\"a\"]"),
        ("plan = \"free\"", "plan = \"free\"\naddresses = [\"192.0.2.7\"]"),
    ] {
        let changed = text.replacen(&plain(3), &plain(3).replace(says, now), 1);
        assert_eq!(shared(&changed, &hierarchy(false)), (9, 10), "{now}");
    }
    // So does `[scopes]`, where it adds to what a key grants.
    let granting = text.replace("plan = \"free\"", "scopes = [\"a\"]");
    let (_, known) = read_beside(None, &hierarchy(false), &granting, AS_LIST);
    let (_, now) = read_beside(Some(&known), &hierarchy(true), &granting, AS_LIST);
    assert!(now.iter().all(|key| !Arc::ptr_eq(key, known.by_id(&key.id).unwrap())));
    assert!(now.iter().all(|key| key.terms.scopes.contains("b:c")));
}

fn plain(number: usize) -> String {
    let digest = digest(number);
    format!(
        "[[key]]\nid = \"k{number}\"\nclient = \"c\"\ndigest = \"{digest}\"\nplan = \"free\"\n\n"
    )
}

#[test]
fn the_strategy_makes_lists_that_are_read_as_such() {
    // Otherwise the properties above would compare a reading with itself.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut lists, mut with_keys) = (0, 0);
    for _ in 0..500 {
        let text = document(false).new_tree(&mut runner).unwrap().current();
        let faults = Faults::default();
        let file = KeyFile { name: "", text: &text, faults: &faults, counted: Cell::default() };
        lists += usize::from(file.count_entries().is_ok_and(|count| count > 0));
        with_keys += usize::from(!read(&text, AS_LIST).keys.is_empty());
    }
    assert!(lists > 150, "{lists}");
    assert!(with_keys > 150, "{with_keys}");
}

#[test]
fn faults_of_a_long_list_have_their_places() {
    let mut text: String = (0..2_000).map(plain).collect();
    text += "[[key]]\nid = \"last\"\ncleint = \"c\"\ndigest = \"sha256:00\"\n[[key]]\nid = \"open\n[[key]]\nid = 7\n";
    let found = read(&text, AS_LIST);
    assert_eq!(found.keys.len(), 2_000);
    let places = found.kinds.iter().map(|(kind, line)| (kind.as_str(), *line)).collect::<Vec<_>>();
    let last = 2_000 * 6;
    let expected = [
        ("unknown-key", last + 3),
        ("invalid-digest", last + 4),
        ("not-toml", last + 6),
        ("missing-key", last + 7),
        ("missing-key", last + 7),
        ("wrong-type", last + 8),
    ];
    assert_eq!(places, expected);
    assert!(
        found.faults[0].starts_with("keys.toml:12003:1: unknown key `cleint`"),
        "{}",
        found.faults[0]
    );
    assert!(found.faults[0].contains("did you mean `client`?"), "{}", found.faults[0]);
}

#[test]
fn what_is_said_of_many_keys_is_bounded() {
    let faulty: String = (0..3_000).map(|key| plain(key).replace("id = ", "name = ")).collect();
    let found = read(&faulty, AS_LIST);
    let last = found.faults.last().unwrap();
    assert!(last.contains("the key file has more than 1000 faults and warnings"), "{last}");
    assert!((1_000..1_010).contains(&found.faults.len()), "{}", found.faults.len());

    let expired: String =
        (0..3_000).map(|key| plain(key) + "expires = 2026-01-01T00:00:00Z\n").collect();
    let found = read(&expired, AS_LIST);
    assert_eq!((found.keys.len(), found.faults.len(), found.plans.len()), (3_000, 100, 100));
    let last = found.faults.last().unwrap();
    assert!(last.contains("the key `k99` and 2900 others have expired [expired-key]"), "{last}");
}

#[test]
fn a_file_that_is_too_large_to_be_read_as_a_whole_is_a_list_and_nothing_else() {
    let bounds = Bounds { small: 0, whole: 0 };
    let list: String = (0..3).map(plain).collect();
    assert_eq!(read(&list, bounds), read(&list, AS_WHOLE));
    for (odd, line) in [
        ("[other]\nx = 1\n", 19),
        ("[api_keys]\n", 19),
        ("[[key]]\nid = '''x'''\n", 20),
        ("[[key]]\nscopes = [\n[\"a\"]]\n", 21),
    ] {
        let found = read(&format!("{list}{odd}"), bounds);
        assert_eq!(found.kinds, [("large-file-not-a-list".to_owned(), line)], "{odd}");
    }
    assert_eq!(read(&format!("x = 1\n{list}"), bounds).kinds[0].1, 1);
}
