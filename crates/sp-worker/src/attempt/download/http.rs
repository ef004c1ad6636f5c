//! GET over HTTP/1.1 from where a sector is downloaded: a connection for each request, nobody else is asked than the host
//! of the URL, and silence has an end.

use std::future::poll_fn;
use std::pin::{Pin, pin};

use futures_util::future::{Either, select};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION,
    RANGE, USER_AGENT,
};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use sp_env::StopOnDrop;
use sp_net::Env;
use sp_types::{ErrorCode, HttpHeader, SourceUrl};

use super::Limits;
use crate::failure::Failure;

/// Most of a text of the source that is shown to people.
const SHOWN_CHARS: usize = 200;

/// Where a sector is downloaded from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) url: SourceUrl,
    pub(super) headers: Vec<HttpHeader>,
}

/// An answer whose body is still to come. The connection ends with it.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    _connection: StopOnDrop,
}

impl Source {
    /// A file below it, for people.
    pub(super) fn name_of(&self, file: &str) -> String {
        format!("{}/{file}", self.url)
    }

    /// Asks for a file from this byte on.
    pub(super) async fn get(&self, env: &Env, limits: &Limits, file: &str, from: u64) -> Result<Answer, Failure> {
        let authority = self.url.authority();
        let silent = |_| away(format!("{authority} did not answer within {} s", limits.silence.as_secs_f64()));
        let connecting = env.net.connect(authority.clone());
        let io = env.timeout(limits.silence, connecting).await.map_err(silent)?.map_err(|error| {
            away(format!("cannot connect to {authority}: {error}; is it running, and can this worker reach it?"))
        })?;
        let broken = |error: hyper::Error| away(format!("{authority} broke the connection off: {}", causes(&error)));
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(broken)?;
        let run = async {
            // What goes wrong with it is told by the body.
            let _ = connection.await;
        };
        let running = StopOnDrop(env.tasks.spawn("download connection", Box::pin(run)));
        let request = self.request(&authority, file, from)?;
        let answer = env.timeout(limits.silence, sender.send_request(request)).await.map_err(silent)?;
        let (head, body) = answer.map_err(broken)?.into_parts();
        Ok(Answer { status: head.status, headers: head.headers, body, _connection: running })
    }

    fn request(&self, authority: &str, file: &str, from: u64) -> Result<Request<String>, Failure> {
        let agent = concat!("sp-cluster/", env!("CARGO_PKG_VERSION"));
        let mut request = Request::get(self.url.path_of(file)).header(HOST, authority).header(USER_AGENT, agent);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        for HttpHeader { name, value } in &self.headers {
            // Neither is repeated: whoever wrote it knows what it was.
            let bad = |_| Failure::new(ErrorCode::BadRequest, format!("the header {name} cannot be sent"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|e| bad(e.to_string()))?;
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|e| bad(e.to_string()))?;
            value.set_sensitive(true);
            request = request.header(key, value);
        }
        let bad = |error| Failure::new(ErrorCode::BadRequest, format!("{}: {error}", self.name_of(file)));
        request.body(String::new()).map_err(bad)
    }
}

impl Answer {
    /// Its kind, without parameters.
    pub(super) fn content_type(&self) -> &str {
        text(&self.headers, CONTENT_TYPE).split(';').next().unwrap_or_default().trim()
    }

    /// Length of the body, if it was said.
    pub(super) fn length(&self) -> Option<u64> {
        text(&self.headers, CONTENT_LENGTH).parse().ok()
    }

    /// Of an answer with a part: where that begins, and the length of the whole if it was said.
    pub(super) fn part(&self) -> Option<(u64, Option<u64>)> {
        let (range, whole) = text(&self.headers, CONTENT_RANGE).strip_prefix("bytes ")?.split_once('/')?;
        let (first, _) = range.split_once('-')?;
        Some((first.trim().parse().ok()?, whole.trim().parse().ok()))
    }

    /// The file as it is, or why it is not coming. `file` is its URL.
    pub(super) fn is_good(&self, file: &str) -> Result<(), Failure> {
        let status = self.status.as_u16();
        let refuse = |code, message: String| Err(Failure::new(code, message));
        match status {
            200 | 206 => {}
            404 | 410 => return refuse(ErrorCode::FileMissing, format!("there is no {file} ({status})")),
            401 | 403 => {
                let message = format!(
                    "{file} is not given to everybody ({status}): say who asks with --header 'Authorization: Bearer \
                     TOKEN' (Lotus: a token with the permission admin)"
                );
                return refuse(ErrorCode::BadRequest, message);
            }
            300..=399 => {
                let to = shown(text(&self.headers, LOCATION));
                let message = format!(
                    "{file} leads on to `{to}` ({status}), which is not followed: give the URL that it leads to"
                );
                return refuse(ErrorCode::BadRequest, message);
            }
            500..=599 => {
                let message =
                    format!("{file} is answered by {status}; Lotus says so also of a file that it does not have");
                return refuse(ErrorCode::Unavailable, message);
            }
            408 | 425 | 429 => return refuse(ErrorCode::Unavailable, format!("{file} is answered by {status}")),
            _ => return refuse(ErrorCode::BadRequest, format!("{file} is answered by {status}")),
        }
        match text(&self.headers, CONTENT_ENCODING) {
            "" | "identity" => Ok(()),
            encoding => refuse(
                ErrorCode::BadRequest,
                format!("{file} comes encoded ({}), though nobody asked for that", shown(encoding)),
            ),
        }
    }

    /// The next bytes; none at the end of the body.
    pub(super) async fn next(&mut self, env: &Env, limits: &Limits) -> Result<Option<Bytes>, Failure> {
        loop {
            let body = &mut self.body;
            let frame = pin!(poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)));
            let frame = match select(frame, env.clock.sleep(limits.silence)).await {
                Either::Left((frame, _)) => frame,
                Either::Right(((), _)) => {
                    let message = format!("nothing came for {} s", limits.silence.as_secs_f64());
                    return Err(away(message));
                }
            };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(away(format!("it was broken off: {}", causes(&error)))),
                Some(Ok(frame)) => {
                    // Trailers say nothing here.
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

/// It may be better in a moment.
pub(super) fn away(message: String) -> Failure {
    Failure::new(ErrorCode::Unavailable, message)
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What another one has written, cut and harmless to a terminal.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect()
}

/// An error with what it comes from: hyper's own says little.
fn causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
