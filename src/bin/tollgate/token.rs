//! `tollgate token new`: a token that the policy accepts, for trying things out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate::Scope;
use tollgate::workbench::{TokenOrder, duration, mint};

use crate::{Failure, PolicyFile, say};

#[derive(clap::Subcommand)]
pub(crate) enum Token {
    /// Mint a token, with the issuer's secret or with a private key
    New(New),
}

#[derive(clap::Args)]
pub(crate) struct New {
    #[command(flatten)]
    policy: PolicyFile,
    /// The policy's name of the issuer
    #[arg(long)]
    issuer: String,
    /// Who the token is for
    #[arg(long)]
    client: String,
    /// A scope to grant; may be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// A role to grant; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// The plan that limits are chosen by
    #[arg(long)]
    plan: Option<String>,
    /// When it expires, from now
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1h")]
    expires: Duration,
    /// A further claim, as `name=value`; the value is JSON, or else text
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// The private key (PEM) to sign with, where the issuer verifies with public ones
    #[arg(long, value_name = "PEM")]
    key_file: Option<PathBuf>,
    /// `kid` of the header
    #[arg(long)]
    kid: Option<String>,
    /// The algorithm, where the issuer allows several
    #[arg(long)]
    algorithm: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Token {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Self::New(new) = self;
        let gate = new.policy.open()?;
        let order = TokenOrder {
            issuer: new.issuer,
            client: new.client,
            scopes: new.scopes.iter().map(ToString::to_string).collect(),
            roles: new.roles,
            plan: new.plan,
            expires: new.expires,
            claims: new.claims.into_iter().collect::<BTreeMap<_, _>>(),
            kid: new.kid,
            algorithm: new.algorithm,
        };
        let token = mint(&gate, &order, new.key_file.as_deref()).map_err(Failure::Usage)?;
        if new.json {
            let shown = json!({"token": token, "expires_in": order.expires.as_secs()});
            say(format_args!("{shown:#}\n"))?;
        } else {
            say(format_args!("{token}\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write `name=value`")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}
