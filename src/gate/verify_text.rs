//! Credentials that came by another way than a header: a WebSocket's first message, a form.

use http::HeaderMap;

use super::admission::{Admission, Passage};
use crate::address::ClientAddress;
use crate::ask::{Ask, Came, Wait};
use crate::decision::{Caller, Judge, Refused};
use crate::denial::Denial;
use crate::principal::Principal;
use crate::time::Moment;
use crate::verify::Asked;

/// Why a credential is not proven.
enum NotProven {
    Denied(Denial),
    /// A source is asked: when that has ended, it is to be judged once more.
    Waits(Refused, Wait),
}

impl Admission {
    /// Proves a token or an API key that came by another way than a header: in the first message of a
    /// WebSocket, whose headers a browser does not let scripts choose, or in a form.
    ///
    /// `text` is the credential alone; `Bearer` or a scheme of keys may stand before it. It is proven as a
    /// header's is, by the policy in force now: issuers and kinds are those of the rule that let the
    /// request in, and a public rule takes any. Scopes, roles, claims and limits are not asked for: look
    /// at the [`Principal`]. What proves nothing is counted as a failed attempt of the request's address,
    /// and where that waits, the answer is the same as for a header.
    ///
    /// Memory alone decides. Where the key has to be looked up in a store, or the keys of an issuer have to be
    /// fetched, that begins, and the answer is `key_source_unavailable`, to be retried:
    /// [`verify_and_wait`](Self::verify_and_wait) waits for it.
    ///
    /// [`ended`](Self::ended) is about the credential of the request's headers, not about this one.
    ///
    /// # Errors
    ///
    /// The denial that a request with this credential would get. It is logged and counted, so that its
    /// [`code`](Denial::code) is all that a client needs.
    ///
    /// ```
    /// use axum::extract::ws::{Message, WebSocket};
    /// use tollgate::Admission;
    ///
    /// async fn serve(mut socket: WebSocket, admission: Admission) {
    ///     let Some(Ok(Message::Text(token))) = socket.recv().await else { return };
    ///     let answer = match admission.verify(&token) {
    ///         Ok(caller) => format!("hello {}", caller.client()),
    ///         Err(denial) => denial.code().to_owned(),
    ///     };
    ///     drop(socket.send(Message::text(answer)).await);
    /// }
    /// # let _ = serve;
    /// ```
    pub fn verify(&self, text: &str) -> Result<Principal, Denial> {
        self.try_verify(text, Came::NOTHING).map_err(|not_proven| match not_proven {
            NotProven::Denied(denial) => denial,
            // Whoever was asked goes on.
            NotProven::Waits(mut refused, _wait) => {
                refused.source_is_unavailable();
                self.refuse(refused)
            }
        })
    }

    /// As [`verify`](Self::verify), and waits where a store of keys or an issuer has to be asked, as long
    /// as a request would.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify).
    pub async fn verify_and_wait(&self, text: &str) -> Result<Principal, Denial> {
        let mut came = Came::default();
        loop {
            match self.try_verify(text, &came) {
                Ok(principal) => return Ok(principal),
                Err(NotProven::Denied(denial)) => return Err(denial),
                // It waits once for each thing.
                Err(NotProven::Waits(_, wait)) => came.add(wait.await),
            }
        }
    }

    fn try_verify(&self, text: &str, came: &Came) -> Result<Principal, NotProven> {
        let Passage { voice, rule, method, caller, .. } = &*self.0;
        let Some(grounds) = voice.ends.grounds() else {
            let denial = Denial::decision_failed("no gate runs, so nothing can be proven");
            return Err(NotProven::Denied(self.place(denial)));
        };
        let failures = voice.failures.as_ref();
        let judge = Judge { grounds: &grounds, buckets: &voice.buckets, failures };
        // No header decides about it.
        let headers = HeaderMap::new();
        let ask = Ask {
            method,
            path: &rule.path,
            headers: &headers,
            fields: grounds.policy.credential.fields(&headers),
            peer: None,
            moment: Moment::of(&*voice.clock),
            came,
        };
        let proven = judge.prove_text(rule, text, caller.address, &ask);
        proven.map_err(|mut refused| {
            let counted = caller.address.map(ClientAddress::counted);
            let address = counted.map(|address| grounds.policy.address.bucket(address));
            match refused.asks_again(came, address) {
                Some(Asked::Waits(wait)) => return NotProven::Waits(refused, wait),
                Some(Asked::Crowded) => refused.source_is_unavailable(),
                None => {}
            }
            NotProven::Denied(self.refuse(refused))
        })
    }

    /// The denial of a request with this credential. It is observed.
    fn refuse(&self, refused: Refused) -> Denial {
        let Passage { voice, rule, caller, .. } = &*self.0;
        // Whoever the headers proved has not sent this.
        let caller = Caller { address: caller.address, principal: None };
        let denial = Denial::of(refused, Some(rule.clone()), &caller, voice.clock.wall());
        voice.observer.denied(&voice.renderer, denial.draft(), &caller, &self.request());
        denial
    }
}
