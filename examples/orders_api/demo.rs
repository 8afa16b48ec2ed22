//! Working credentials for one run: a copy of the policy with new keys and a new key set.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::json;
use tollgate::NewApiKey;

use crate::issuer::Issuer;

pub(crate) struct Demo {
    folder: PathBuf,
    writer: NewApiKey,
    reader: NewApiKey,
    pub(crate) issuer: Issuer,
}

/// Where keys are that come and go while the example runs.
#[derive(Clone)]
pub(crate) enum Store {
    Sqlite(PathBuf),
    /// The variable `DATABASE_URL` holds the URL.
    Postgres,
}

impl FromStr for Store {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=').unwrap_or((text, "")) {
            ("sqlite", "") => Ok(Self::Sqlite("orders_api.db".into())),
            ("sqlite", file) => Ok(Self::Sqlite(file.into())),
            ("postgres", "") => Ok(Self::Postgres),
            _ => Err("it is `sqlite`, `sqlite=FILE`, or `postgres`, with the URL in DATABASE_URL"),
        }
    }
}

impl Demo {
    /// Copies the policy, and adds a client that may write and one that may only read; and a store of
    /// further keys, where one is asked for.
    pub(crate) fn prepare(policy: &Path, store: Option<&Store>) -> Result<Self, Box<dyn Error>> {
        let folder = std::env::temp_dir().join(format!("orders_api-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let mut text = fs::read_to_string(policy)?;
        if let Some(store) = store {
            let setting = match store {
                Store::Sqlite(file) => format!("sqlite = {:?}", std::path::absolute(file)?),
                Store::Postgres => "postgres_env = \"DATABASE_URL\"".to_owned(),
            };
            text = text.replacen("[api_keys]", &format!("[api_keys]\nstore = {{ {setting} }}"), 1);
        }
        fs::write(folder.join("tollgate.toml"), text)?;

        let (writer, reader) = (NewApiKey::generate("tg")?, NewApiKey::generate("tg")?);
        let mut keys = fs::read_to_string(policy.with_file_name("keys.toml"))?;
        for (client, key, scopes) in [
            ("shop", &writer, r#"["orders:read", "orders:write"]"#),
            ("dashboard", &reader, r#"["orders:read"]"#),
        ] {
            let digest = key.digest();
            keys += &format!(
                "\n[[key]]\nid = \"{client}-demo\"\nclient = \"{client}\"\ndigest = \"{digest}\"\nscopes = {scopes}\n"
            );
        }
        fs::write(folder.join("keys.toml"), keys)?;

        let issuer = Issuer::new()?;
        fs::write(folder.join("jwks.json"), issuer.key_set.to_string())?;
        Ok(Self { folder, writer, reader, issuer })
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.folder.join("tollgate.toml")
    }

    /// A token of a client that may read, good or bad.
    fn token(&self, expires_in: i64) -> Result<String, Box<dyn Error>> {
        self.issuer.token("mobile", &["orders:read"], expires_in)
    }

    /// Writes what a client needs to call the API.
    pub(crate) fn write(&self, address: SocketAddr, file: &Path) -> Result<(), Box<dyn Error>> {
        let credentials = json!({
            "address": format!("http://{address}"),
            "keys": {"writer": self.writer.reveal(), "reader": self.reader.reveal()},
            "tokens": {"valid": self.token(3600)?, "expired": self.token(-3600)?},
        });
        Ok(fs::write(file, format!("{credentials:#}\n"))?)
    }

    /// Prints curl lines to try.
    pub(crate) fn print(&self, address: SocketAddr) -> Result<(), Box<dyn Error>> {
        let (writer, reader) = (self.writer.reveal(), self.reader.reveal());
        let (good, expired) = (self.token(3600)?, self.token(-3600)?);
        let cut = &reader[..reader.len() - 4];
        let url = format!("http://{address}");
        println!(
            "listening on {url}

# what denials mean, and what each path asks for: open them in a browser
# {url}/errors
# {url}/errors/handbook

# admitted: an API key, then a token, then a token of your own in exchange for the key
curl -i {url}/orders -H 'x-api-key: {writer}'
curl -i {url}/orders/1 -H 'authorization: Bearer {good}'
curl -i {url}/orders -H 'x-api-key: {writer}' --json '{{\"item\":\"paper\",\"quantity\":3}}'
curl -i {url}/token -X POST -H 'x-api-key: {writer}'

# signed up: a key that works at the next request; without `--store` it is lost when the example ends
# (a name can be taken once, so that the first line is denied with `account_taken` when it is sent again)
curl -i {url}/signup --json '{{\"account\":\"acme\"}}'
key=$(curl -s {url}/signup --json '{{\"account\":\"umbrella-'$(date +%s)'\"}}' | cut -d'\"' -f4); curl -i {url}/orders -H \"x-api-key: $key\"

# denied, category `credentials`: none, and one that was cut off when it was copied
curl -i {url}/orders
curl -i {url}/orders -H 'x-api-key: {cut}'

# denied, category `token`: it has expired
curl -i {url}/orders -H 'authorization: Bearer {expired}'

# denied, category `authorization`: a scope is missing; a path without a rule; the API's own code
curl -i {url}/orders -H 'x-api-key: {reader}' --json '{{\"item\":\"paper\",\"quantity\":3}}'
curl -i {url}/ordres -H 'x-api-key: {reader}'
curl -i -X DELETE {url}/orders/1 -H 'x-api-key: {writer}'

# denied, category `limit`: the bucket of 10 is empty before the eleventh
for n in 1 2 3 4 5 6 7 8 9 10 11; do curl -s -o /dev/null -w '%{{http_code}} ' {url}/orders -H 'x-api-key: {reader}'; done; curl -i {url}/orders -H 'x-api-key: {reader}'

# denied, category `server`: a route that was added after the gate, by mistake
curl -i {url}/forgotten -H 'x-api-key: {writer}'
"
        );
        Ok(())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
