#[cfg(not(feature = "redis"))]
mod without {
    use crate::policy::{Faults, Sources, load};

    #[test]
    fn without_the_feature_the_policy_is_refused_and_the_feature_named() {
        let policy = "version = 1\n[store]\nkind = \"redis\"\nurl = \"redis://db\"\n\
                      [[rule]]\nname = \"all\"\npath = \"/\"\npublic = true\n";
        let faults = Faults::default();
        load("p.toml", policy, &Sources::default(), &faults);
        let faults = faults.into_sorted();
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        assert!(fault.help().contains("`redis`"), "{fault}");
    }
}

#[cfg(feature = "redis")]
mod with {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::limit::{OnStoreFailure, RedisSettings, Servers, StoreSettings};
    use crate::policy::{Faults, Policy, Sources, load};

    /// With the variable `SECRET` set to `secret`.
    fn read(store: &str, secret: &str) -> Result<Policy, String> {
        let policy = format!(
            "version = 1\n[store]\n{store}\n[[limit]]\nname = \"few\"\nrate = \"1/second\"\nburst = 8\n\
             per = [\"global\"]\non_store_failure = \"closed\"\n[[rule]]\nname = \"all\"\npath = \"/\"\n\
             public = true\nlimits = [\"few\"]\n"
        );
        let faults = Faults::default();
        let secrets = BTreeMap::from([(
            "SECRET".to_owned(),
            crate::credential::Secret::new(secret.as_bytes().to_vec()),
        )]);
        let sources = Sources::default().with_secrets(Arc::new(secrets));
        let policy = load("p.toml", &policy, &sources, &faults);
        match faults.into_sorted().first() {
            None => Ok(policy.unwrap()),
            Some(fault) => Err(fault.to_string()),
        }
    }

    fn redis(store: &str, secret: &str) -> Arc<RedisSettings> {
        match read(&format!("kind = \"redis\"\n{store}"), secret).unwrap().store {
            StoreSettings::Redis(settings) => settings,
            StoreSettings::Memory => panic!("{store} is in memory"),
        }
    }

    #[test]
    fn what_is_left_out_has_the_defaults_of_the_reference() {
        let settings = redis("url = \"redis://db\"", "");
        assert!(matches!(&settings.servers, Servers::One(url) if url.expose() == b"redis://db"));
        assert_eq!((&*settings.prefix, settings.deadline), ("tollgate", Duration::from_millis(5)));
        assert_eq!(settings.nodes.get(), 4);
        assert!(
            settings.user.is_none() && settings.password.is_none() && settings.hash_key.is_none()
        );
    }

    #[test]
    fn all_that_is_written_is_kept() {
        let settings = redis(
            "cluster = [\"rediss://a:7000\", \"rediss://b:7000\"]\nusername = \"gate\"\n\
             password_env = \"SECRET\"\nhash_key_env = \"SECRET\"\nprefix = \"api:eu\"\n\
             deadline = \"250ms\"\nnodes = 8",
            "0123456789abcdef0123456789abcdef",
        );
        assert!(matches!(&settings.servers, Servers::Cluster(nodes) if nodes.len() == 2));
        assert_eq!(settings.user.as_deref(), Some("gate"));
        assert_eq!(settings.password.as_ref().unwrap().expose().len(), 32);
        assert_eq!((&*settings.prefix, settings.deadline), ("api:eu", Duration::from_millis(250)));
        assert_eq!(settings.nodes.get(), 8);
        let policy = read("kind = \"redis\"\nurl = \"redis://db\"", "").unwrap();
        assert_eq!(policy.limits[0].on_store_failure, OnStoreFailure::Closed);
    }

    #[test]
    fn a_hash_key_that_could_be_guessed_is_refused() {
        let store = "kind = \"redis\"\nurl = \"redis://db\"\nhash_key_env = \"SECRET\"";
        let refused = read(store, "hunter2").unwrap_err();
        assert!(
            refused.contains("fewer than 32 bytes") && !refused.contains("hunter2"),
            "{refused}"
        );
        assert!(read(store, &"x".repeat(32)).is_ok());
    }

    #[test]
    fn an_address_in_the_environment_may_hold_a_password_and_no_message_repeats_it() {
        let settings = redis("url_env = \"SECRET\"", "rediss://gate:hunter2@db:6380/1");
        assert!(matches!(&settings.servers, Servers::One(url) if url.expose().ends_with(b"/1")));
        assert!(!format!("{settings:?}").contains("hunter2"));
        for store in ["redis://:hunter2@", "http://:hunter2@db", "redis://:hunter2@db#insecure"] {
            let refused = read("kind = \"redis\"\nurl_env = \"SECRET\"", store).unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
            let refused = read(&format!("kind = \"redis\"\nurl = \"{store}\""), "").unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
            let several =
                format!("kind = \"redis\"\ncluster = [\n\"redis://a\",\n\"{store}\"\n]\n");
            let refused = read(&several, "").unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
            // Also where the fault is another one of that line.
            for line in
                [format!("kind = \"memory\"\nurl = \"{store}\""), format!("urls = \"{store}\"")]
            {
                let refused = read(&line, "").unwrap_err();
                assert!(!refused.contains("hunter2"), "{refused}");
            }
        }
    }
}
