//! One POST, over HTTP or HTTPS.
//!
//! Invariants: a try ends within its time, with name lookup, handshake and body; tries at once are
//! bounded, for all and for each who wants some, so that one who waits for a dead host does not
//! take the place of others; a redirect is not followed; of an answer at most [`ANSWER_BYTES_MAX`]
//! are read; nothing that is sent is found in an error.
//! Deliberately absent: proxies, whatever the environment says, cookies, retries.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};
use ureq::http::{Response, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// Requests at once, of all together.
pub const POSTS_MAX: usize = 64;

/// Requests at once of one subscription or channel.
pub const POSTS_EACH_MAX: usize = 16;

/// Bytes of an answer's body that are read.
pub const ANSWER_BYTES_MAX: u64 = 4 << 10;

/// Characters of an answer that are shown.
const SHOWN_CHARS: usize = 300;

/// What is sent.
pub(crate) struct Message {
    pub(crate) url: String,
    /// Names and values.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// An answer that repeats one of these is shown without it.
    pub(crate) secrets: Vec<String>,
}

/// Sends messages. One for all: connections are used again.
pub(crate) struct Post {
    agent: OnceLock<Agent>,
    /// Instead of those of the system.
    roots: Option<RootCerts>,
    all: Arc<Semaphore>,
    each: Mutex<BTreeMap<String, Weak<Semaphore>>>,
}

impl Default for Post {
    fn default() -> Self {
        Self {
            agent: OnceLock::new(),
            roots: None,
            all: Arc::new(Semaphore::new(POSTS_MAX)),
            each: Mutex::default(),
        }
    }
}

impl Post {
    /// Sends what `make` makes, which may block. `who` wants it; `limit` begins when it is its
    /// turn.
    ///
    /// # Errors
    /// In words; an answer other than 2xx, too.
    pub(crate) async fn send(
        self: &Arc<Self>,
        who: &str,
        limit: Duration,
        make: impl FnOnce() -> Result<Message, String> + Send + 'static,
    ) -> Result<(), String> {
        const OPEN: &str = "the manager is ending";
        let own = self.turn_of(who);
        let own = own.acquire_owned().await.map_err(|_| OPEN)?;
        let all = Arc::clone(&self.all).acquire_owned();
        let all = all.await.map_err(|_| OPEN)?;
        let (tell, told) = oneshot::channel();
        let post = Arc::clone(self);
        // A thread of its own: the runtime's are for what must not wait for others.
        let thread = std::thread::Builder::new().name("post".into());
        let started = thread.spawn(move || {
            let permits = (own, all);
            let deadline = Instant::now() + limit;
            let outcome = make().and_then(|message| post.send_now(&message, deadline, limit));
            // Whoever is told may count on the place being free.
            drop(permits);
            // Whoever asked may have gone.
            let _ = tell.send(outcome);
        });
        started.map_err(|e| format!("no thread can be started: {e}"))?;
        let outcome = told.await;
        outcome.unwrap_or_else(|_| Err("it ended by a fault of eud".to_owned()))
    }

    fn turn_of(&self, who: &str) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = each.get(who).and_then(Weak::upgrade) {
            return known;
        }
        // Those that nobody holds any more.
        each.retain(|_, one| one.strong_count() > 0);
        let fresh = Arc::new(Semaphore::new(POSTS_EACH_MAX));
        each.insert(who.to_owned(), Arc::downgrade(&fresh));
        fresh
    }

    fn agent(&self) -> &Agent {
        self.agent.get_or_init(|| {
            let roots = self.roots.clone().unwrap_or_else(system_roots);
            let tls = TlsConfig::builder().root_certs(roots).build();
            Agent::config_builder()
                .tls_config(tls)
                .proxy(None)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .http_status_as_error(false)
                .user_agent(concat!("eud/", env!("CARGO_PKG_VERSION")))
                .build()
                .new_agent()
        })
    }

    fn send_now(
        &self,
        message: &Message,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(), String> {
        let agent = self.agent();
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(no_answer(limit));
        }
        let mut request = agent
            .post(&message.url)
            .config()
            .timeout_global(Some(left))
            .build();
        for (name, value) in &message.headers {
            request = request.header(name, value);
        }
        let mut answer = request
            .send(&message.body)
            .map_err(|error| words(&error, limit))?;
        let status = answer.status();
        if status.is_success() {
            finish(&mut answer);
            return Ok(());
        }
        if status.is_redirection()
            && let Some(place) = answer.headers().get(header::LOCATION)
        {
            let place = shown(&String::from_utf8_lossy(place.as_bytes()), &message.secrets);
            return Err(format!(
                "HTTP {}: it leads to {place}, and redirects are not followed; name that place \
                 if it is right",
                status.as_u16()
            ));
        }
        let mut body = Vec::new();
        // What came before an error is as good.
        let _ = answer
            .body_mut()
            .as_reader()
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut body);
        let said = shown(&String::from_utf8_lossy(&body), &message.secrets);
        let status = status.as_u16();
        Err(if said.is_empty() {
            format!("HTTP {status}")
        } else {
            format!("HTTP {status}: {said}")
        })
    }
}

/// A short answer is read, so that the connection can be used again.
fn finish(answer: &mut Response<Body>) {
    let is_short = |bytes| bytes <= ANSWER_BYTES_MAX;
    if answer.body().content_length().is_some_and(is_short) {
        // Delivered is delivered.
        let _ = std::io::copy(&mut answer.body_mut().as_reader(), &mut std::io::sink());
    }
}

/// What the system trusts (`SSL_CERT_FILE`, `SSL_CERT_DIR`, or where it is kept usually), or what
/// browsers do, where the system has nothing.
fn system_roots() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return RootCerts::WebPki;
    }
    let certs = found
        .iter()
        .map(|der| Certificate::from_der(der).to_owned());
    RootCerts::from(certs)
}

fn no_answer(limit: Duration) -> String {
    format!("no answer within {} ms", limit.as_millis())
}

fn words(error: &ureq::Error, limit: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => no_answer(limit),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => no_answer(limit),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::HostNotFound => "its host is not known".to_owned(),
        ureq::Error::Protocol(error) => format!("the answer is no HTTP: {error}"),
        ureq::Error::LargeResponseHeader(..) => "the answer's head is too large".to_owned(),
        error => error.to_string(),
    }
}

/// One line for people, without what is secret.
fn shown(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "***");
    }
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let visible: String = text.chars().map(visible).collect();
    let words: Vec<&str> = visible.split_whitespace().collect();
    let line = words.join(" ");
    let mut short: String = line.chars().take(SHOWN_CHARS).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
