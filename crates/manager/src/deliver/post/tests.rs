//! Answers of all kinds, from servers on this machine.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

/// Ample for what answers, short for what does not.
const LIMIT: Duration = Duration::from_millis(1_500);

/// Listens, and does the same with each connection.
fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    format!("127.0.0.1:{}", address.port())
}

/// Reads a request; its head, in lower case, and its body.
fn request(from: impl std::io::Read) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(from);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length?.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// Answers each connection's first request with this.
fn answering(answer: &'static str) -> String {
    listen(move |mut stream| {
        if request(&stream).is_some() {
            let _ = stream.write_all(answer.as_bytes());
        }
    })
}

fn message(url: String) -> Message {
    Message {
        url,
        headers: vec![("x-key".into(), "hunter2".into())],
        body: b"{}".to_vec(),
        secrets: vec!["hunter2".into()],
    }
}

fn send_with(post: Post, url: String) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let post = Arc::new(post);
    runtime.block_on(post.send("x", LIMIT, move || Ok(message(url))))
}

fn send(address: &str) -> Result<(), String> {
    send_with(Post::default(), format!("http://{address}/hook"))
}

#[test]
fn answers_are_told_in_words() {
    for (answer, words) in [
        (
            "HTTP/1.1 500 Oh\r\nContent-Length: 7\r\n\r\nno\ndb \u{1}",
            "HTTP 500: no db",
        ),
        ("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", "HTTP 410"),
        (
            "HTTP/1.1 404 No\r\n\r\nno such hook",
            "HTTP 404: no such hook",
        ),
        (
            "HTTP/1.1 403 No\r\n\r\nbad key hunter2!",
            "HTTP 403: bad key ***!",
        ),
        (
            "HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\ntorn",
            "HTTP 500: torn",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
            "HTTP 302: it leads to http://elsewhere/, and redirects are not followed; name that \
             place if it is right",
        ),
        ("HTTP/1.1 304 Same\r\n\r\n", "HTTP 304"),
    ] {
        assert_eq!(send(&answering(answer)), Err(words.to_owned()));
    }
    for fine in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 202 Accepted\r\n\r\n",
        "HTTP/1.1 204 No\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    ] {
        assert_eq!(send(&answering(fine)), Ok(()), "{fine}");
    }
}

#[test]
fn what_is_no_answer_is_an_error_and_in_time() {
    let begun = Instant::now();
    let garbage = send(&answering("\u{0}\u{1}garbage\r\n\r\n")).unwrap_err();
    assert!(garbage.starts_with("the answer is no HTTP"), "{garbage}");
    let closes = send(&listen(drop)).unwrap_err();
    assert!(
        !closes.is_empty() && !closes.contains("hunter2"),
        "{closes}"
    );
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let refused = send(&address).unwrap_err();
    assert!(refused.contains("refused"), "{refused}");
    let unknown = send("no-such-host.invalid:1").unwrap_err();
    assert!(!unknown.is_empty());
    assert!(begun.elapsed() < LIMIT * 4);
}

#[test]
fn one_that_hangs_is_given_up() {
    let hang = || std::thread::sleep(Duration::from_secs(60));
    let hangs = listen(move |_stream| hang());
    let trickles = listen(|mut stream| {
        if request(&stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream.write_all(b"A: b\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    });
    for address in [hangs, trickles] {
        let begun = Instant::now();
        let why = send(&address).unwrap_err();
        assert_eq!(why, "no answer within 1500 ms");
        assert!(begun.elapsed() < LIMIT * 2);
    }
}

#[test]
fn of_a_huge_answer_little_is_read() {
    let endless = listen(|mut stream| {
        if request(&stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 500 No\r\n\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        }
    });
    let why = send(&endless).unwrap_err();
    let shown: String = "x".repeat(SHOWN_CHARS);
    assert_eq!(why, format!("HTTP 500: {shown}…"));
    let huge_head = listen(|mut stream| {
        if request(&stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nA: ");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        }
    });
    assert!(send(&huge_head).is_err());
}

#[test]
fn one_that_waits_for_many_dead_hosts_takes_no_others_place() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let hangs = listen(|_stream| std::thread::sleep(Duration::from_secs(60)));
    let fine = answering("HTTP/1.1 204 No\r\n\r\n");
    let post = Arc::new(Post::default());
    runtime.block_on(async {
        for _ in 0..POSTS_MAX {
            let (post, url) = (Arc::clone(&post), format!("http://{hangs}/"));
            let limit = Duration::from_secs(30);
            tokio::spawn(async move { post.send("dead", limit, || Ok(message(url))).await });
        }
        let dead = post.turn_of("dead");
        while dead.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let url = format!("http://{fine}/");
        let sent = post.send("fine", LIMIT, || Ok(message(url))).await;
        assert_eq!(sent, Ok(()));
        assert_eq!(post.all.available_permits(), POSTS_MAX - POSTS_EACH_MAX);
    });
    runtime.shutdown_background();
}

#[test]
fn https_wants_a_certificate_that_is_trusted() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let der = certified.cert.der().clone();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], key.into())
        .unwrap();
    let config = Arc::new(config);
    let address = listen(move |stream| {
        let conn = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(conn, stream);
        if request(&mut stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 204 No\r\n\r\n");
            let _ = stream.flush();
        }
    });
    let port = address.rsplit_once(':').unwrap().1.to_owned();
    let trusting = || Post {
        roots: Some(RootCerts::from([Certificate::from_der(&der).to_owned()])),
        ..Post::default()
    };
    let url = format!("https://localhost:{port}/");
    assert_eq!(send_with(trusting(), url.clone()), Ok(()));
    let stranger = send_with(Post::default(), url).unwrap_err();
    assert!(stranger.contains("certificate"), "{stranger}");
    let other_name = send_with(trusting(), format!("https://{address}/")).unwrap_err();
    assert!(other_name.contains("certificate"), "{other_name}");
}
