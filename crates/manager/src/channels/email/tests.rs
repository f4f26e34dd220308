//! Mail to servers on this machine that speak SMTP, or something else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use eud_core::fleet::{EnvValue, Severity};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// Ample for what answers, short for what does not.
const LIMIT: Duration = Duration::from_millis(1_500);

/// How the server is.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// It answers so to the text of a mail.
    verdict: &'static str,
    /// It knows STARTTLS.
    starttls: bool,
    /// It speaks TLS from the first byte.
    tls: bool,
    /// It says nothing after the text.
    hangs: bool,
}

struct Server {
    port: u16,
    /// All that was said to each connection.
    said: Receiver<String>,
    root: Vec<u8>,
}

impl Server {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let root = key.cert.der().to_vec();
        let config = config(&root, key.signing_key.serialize_der());
        let (tell, said) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut heard = String::new();
                let _ = if manner.tls {
                    let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                    serve(StreamOwned::new(tls, stream), manner, &mut heard)
                } else {
                    serve(stream, manner, &mut heard)
                };
                if tell.send(heard).is_err() {
                    return;
                }
            }
        });
        Self { port, said, root }
    }
}

fn config(cert: &[u8], key: Vec<u8>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(cert.to_vec())],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)),
        );
    Arc::new(config.unwrap())
}

/// Speaks SMTP until the other end has had enough.
fn serve(stream: impl Read + Write, manner: Manner, heard: &mut String) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    say(&mut stream, "220 stand-in")?;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        heard.push_str(&line);
        let word = line.split_whitespace().next().unwrap_or_default();
        match word.to_ascii_uppercase().as_str() {
            "EHLO" if manner.starttls => say(&mut stream, "250-hello\r\n250 STARTTLS")?,
            "EHLO" => say(&mut stream, "250-hello\r\n250 AUTH PLAIN LOGIN")?,
            "AUTH" if line.contains("AGFubgBodW50ZXIy") => say(&mut stream, "235 fine")?,
            "AUTH" => say(&mut stream, "535 bad credentials")?,
            "DATA" => {
                say(&mut stream, "354 go on")?;
                while !heard.ends_with("\r\n.\r\n") {
                    if stream.read_line(heard)? == 0 {
                        return Ok(());
                    }
                }
                if manner.hangs {
                    return stream.read_line(heard).map(drop);
                }
                say(&mut stream, manner.verdict)?;
            }
            "STARTTLS" => say(&mut stream, "454 no certificate")?,
            "QUIT" => return say(&mut stream, "221 bye"),
            _ => say(&mut stream, "250 ok")?,
        }
    }
}

fn say<S: Read + Write>(stream: &mut BufReader<S>, text: &str) -> std::io::Result<()> {
    let stream = stream.get_mut();
    write!(stream, "{text}\r\n")?;
    stream.flush()
}

fn email(port: u16, tls: Tls) -> Email {
    Email {
        host: "localhost".into(),
        port,
        tls,
        user: Some("ann".into()),
        password: Some(EnvValue::Plain("hunter2".into())),
        from: "Eud <eud@example.org>".into(),
        to: vec!["ops@example.org".into(), "Bo <bo@example.org>".into()],
    }
}

fn messages() -> Vec<Message> {
    let message = |title: &str| Message {
        title: title.into(),
        body: "first line\n.\nlast line".into(),
        severity: Severity::Error,
        at_ms: 1_700_000_000_000,
        ..Message::default()
    };
    vec![message("Disk é is full"), message("b")]
}

async fn try_once(email: &Email, root: Option<&[u8]>) -> Result<(), String> {
    let root = root.map(|der| Certificate::from_der(der.to_vec()).unwrap());
    let (messages, reaper) = (messages(), Reaper::default());
    send_now(email, "ops-1-7", &messages, &reaper, LIMIT, root).await
}

const FINE: Manner = Manner {
    verdict: "250 queued as 7",
    starttls: false,
    tls: false,
    hangs: false,
};

#[tokio::test]
async fn a_mail_is_sent_when_the_server_has_taken_it() {
    let server = Server::start(FINE);
    let email = email(server.port, Tls::Never);
    assert_eq!(try_once(&email, None).await, Ok(()));
    let said = server.said.recv().unwrap();
    for part in [
        "MAIL FROM:<eud@example.org>",
        "RCPT TO:<ops@example.org>",
        "RCPT TO:<bo@example.org>",
        "Message-ID: <ops-1-7@example.org>",
        "Subject: ",
        "first line\r\n..\r\nlast line",
        "error at 2023-11-14T22:13:20",
    ] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
}

#[tokio::test]
async fn anything_but_250_is_a_failure_in_words() {
    for (verdict, words) in [
        ("452 4.3.1 mailbox full", "mailbox full"),
        ("554 5.7.1 spam", "spam"),
        ("what", ""),
    ] {
        let server = Server::start(Manner { verdict, ..FINE });
        let email = email(server.port, Tls::Never);
        let why = try_once(&email, None).await.unwrap_err();
        assert!(
            why.starts_with("localhost: ") && why.contains(words),
            "{why}"
        );
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let email = email(listener.local_addr().unwrap().port(), Tls::Never);
    drop(listener);
    assert!(try_once(&email, None).await.is_err());
}

#[tokio::test]
async fn a_server_that_hangs_is_left_in_time() {
    let server = Server::start(Manner {
        hangs: true,
        ..FINE
    });
    let email = email(server.port, Tls::Never);
    let outcome = send(email, "id", &messages(), &Reaper::default(), LIMIT).await;
    assert_eq!(
        outcome,
        Err("localhost: no answer within 1500 ms".to_owned())
    );
    // The server sees the connection close.
    assert!(server.said.recv().unwrap().contains("DATA"));
}

#[tokio::test]
async fn a_wrong_password_is_an_error_that_does_not_show_it() {
    let server = Server::start(FINE);
    let mut email = email(server.port, Tls::Never);
    email.password = Some(EnvValue::Plain("credentials".into()));
    let why = try_once(&email, None).await.unwrap_err();
    assert!(why.contains("bad ***"), "{why}");
    assert!(!server.said.recv().unwrap().contains("MAIL FROM"));
}

#[tokio::test]
async fn no_password_goes_over_a_connection_that_is_not_protected() {
    for starttls in [false, true] {
        let server = Server::start(Manner { starttls, ..FINE });
        let email = email(server.port, Tls::Starttls);
        assert!(try_once(&email, None).await.is_err());
        let said = server.said.recv().unwrap();
        assert!(!said.contains("AUTH") && !said.contains("MAIL"), "{said}");
    }
}

#[tokio::test]
async fn tls_is_by_certificates_that_are_trusted() {
    let server = Server::start(Manner { tls: true, ..FINE });
    let email = email(server.port, Tls::Always);
    let untrusted = try_once(&email, None).await.unwrap_err();
    assert!(
        untrusted.to_lowercase().contains("certificate"),
        "{untrusted}"
    );
    assert!(server.said.recv().unwrap().is_empty());
    assert_eq!(try_once(&email, Some(&server.root)).await, Ok(()));
    assert!(
        server
            .said
            .recv()
            .unwrap()
            .contains("RCPT TO:<bo@example.org>")
    );
}

#[tokio::test]
async fn a_bad_address_or_password_is_named() {
    let server = Server::start(FINE);
    let mut bad = email(server.port, Tls::Never);
    bad.to = vec!["nobody".into()];
    let why = try_once(&bad, None).await.unwrap_err();
    assert!(why.contains("`nobody` is no mail address"), "{why}");
    let mut missing = email(server.port, Tls::Never);
    missing.password = Some(EnvValue::File("/nonexistent/password".into()));
    let why = try_once(&missing, None).await.unwrap_err();
    assert!(
        why.contains("password") && why.contains("/nonexistent"),
        "{why}"
    );
}
