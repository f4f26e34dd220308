//! Mail.
//!
//! Invariants: it is sent when the server has answered 250 to its text, not before; a password is
//! resolved for each try, and goes only over a connection that is protected as the fleet file asks;
//! its time over, the connection is closed.

use std::time::Duration;

use eud_core::fleet::{Email, Tls};
use eud_core::message::together;
use eud_core::record::Message;
use eud_core::words::rfc3339;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, Tls as SmtpTls, TlsParameters,
};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor};

use crate::launch::value_of;
use crate::reaper::Reaper;

pub(super) async fn send(
    email: Email,
    id: &str,
    messages: &[Message],
    reaper: &Reaper,
    limit: Duration,
) -> Result<(), String> {
    let sending = send_now(&email, id, messages, reaper, limit, None);
    let outcome = tokio::time::timeout(limit, sending).await;
    let slow = |_| format!("{}: no answer within {} ms", email.host, limit.as_millis());
    outcome.map_err(slow)?
}

/// `root` is trusted besides those of the system.
async fn send_now(
    email: &Email,
    id: &str,
    messages: &[Message],
    reaper: &Reaper,
    limit: Duration,
    root: Option<Certificate>,
) -> Result<(), String> {
    let mail = write(email, id, &together(messages))?;
    let password = match email.password.clone() {
        None => None,
        Some(password) => {
            let reaper = reaper.clone();
            let resolving =
                tokio::task::spawn_blocking(move || value_of("password", &password, &reaper));
            let resolved = resolving.await;
            Some(resolved.map_err(|_| "the password could not be resolved")??)
        }
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&email.host)
        .port(email.port)
        .timeout(Some(limit))
        .tls(protection(email, root)?);
    if let Some(user) = &email.user {
        let password = password.clone().unwrap_or_default();
        transport = transport.credentials(Credentials::new(user.clone(), password));
    }
    // An answer other than 2xx is an error.
    let sent = transport.build().send(mail).await;
    sent.map(drop).map_err(|error| {
        let why = format!("{}: {error}", email.host);
        match password.filter(|password| !password.is_empty()) {
            Some(password) => why.replace(&password, "***"),
            None => why,
        }
    })
}

fn protection(email: &Email, root: Option<Certificate>) -> Result<SmtpTls, String> {
    if email.tls == Tls::Never {
        return Ok(SmtpTls::None);
    }
    // What browsers trust, where the system has nothing.
    let store = match rustls_native_certs::load_native_certs().certs.is_empty() {
        true => CertificateStore::WebpkiRoots,
        false => CertificateStore::Default,
    };
    let mut parameters = TlsParameters::builder(email.host.clone()).certificate_store(store);
    if let Some(root) = root {
        parameters = parameters.add_root_certificate(root);
    }
    let parameters = parameters
        .build_rustls()
        .map_err(|error| format!("{}: {error}", email.host))?;
    Ok(match email.tls {
        Tls::Always => SmtpTls::Wrapper(parameters),
        Tls::Starttls | Tls::Never => SmtpTls::Required(parameters),
    })
}

fn write(email: &Email, id: &str, message: &Message) -> Result<Mail, String> {
    let mailbox = |address: &String| {
        let parsed = address.parse::<Mailbox>();
        parsed.map_err(|error| format!("`{address}` is no mail address: {error}"))
    };
    let from = mailbox(&email.from)?;
    let domain = from.email.domain().to_owned();
    let mut mail = Mail::builder()
        .from(from)
        .subject(message.title.clone())
        .message_id(Some(format!("<{id}@{domain}>")))
        .header(ContentType::TEXT_PLAIN);
    for address in &email.to {
        mail = mail.to(mailbox(address)?);
    }
    let at = rfc3339(message.at_ms);
    let text = format!(
        "{}\n\n{} at {at}\n",
        message.body,
        message.severity.as_str()
    );
    mail.body(text)
        .map_err(|error| format!("the mail cannot be written: {error}"))
}

#[cfg(test)]
mod tests;
