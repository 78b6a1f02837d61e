//! The API over HTTP, as clients use it.

use reqwest::Method as Verb;

use super::*;

/// A server on a free port and a client of it.
struct Served {
    /// Where the store is.
    _dir: tempfile::TempDir,
    /// Where it listens.
    url: String,
    /// The client.
    client: reqwest::Client,
}

impl Served {
    /// Starts one.
    async fn start() -> Self {
        // The provider may be installed by another test already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SchemaStore::open(dir.path()).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router(store)).await });
        Self {
            _dir: dir,
            url,
            client: reqwest::Client::new(),
        }
    }

    /// Sends a request; status and body of the answer.
    async fn send(&self, verb: Verb, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(verb, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], CONTENT_TYPE, "{path}");
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Gets a path that is there.
    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Verb::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The error code of a request.
    async fn code(&self, verb: Verb, path: &str, body: Option<Value>) -> i64 {
        let (status, answer) = self.send(verb, path, body).await;
        let code = answer["error_code"].as_i64().unwrap_or_default();
        let expected = if code < 1000 { code } else { code / 100 };
        assert_eq!(i64::from(status), expected, "{path}: {answer}");
        assert!(!answer["message"].as_str().unwrap_or_default().is_empty());
        code
    }

    /// Registers an Avro schema.
    async fn register(&self, path: &str, schema: &str) -> Value {
        let body = json!({ "schema": schema });
        let (status, answer) = self.send(Verb::POST, path, Some(body)).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

#[tokio::test]
async fn a_schema_is_registered_once_and_read_back() {
    let served = Served::start().await;
    let body = json!({ "schema": "{ \"type\": \"object\" }", "schemaType": "JSON" });
    let path = "/subjects/a%2Fb-value/versions";
    let (_, first) = served.send(Verb::POST, path, Some(body.clone())).await;
    assert_eq!((&first["id"], &first["version"]), (&json!(1), &json!(1)));
    let again = served.send(Verb::POST, path, Some(body.clone())).await;
    assert_eq!(again, (200, first.clone()));
    assert_eq!(first.get("schema"), None);
    let first = served.get("/subjects/a%2Fb-value/versions/1").await;
    let found = served
        .send(
            Verb::POST,
            "/subjects/a%2Fb-value?normalize=true",
            Some(body),
        )
        .await;
    assert_eq!(found, (200, first.clone()));
    let by_id = served.get("/schemas/ids/1").await;
    assert_eq!(by_id["schemaType"], "JSON");
    assert_eq!(by_id["schema"], "{\"type\":\"object\"}");
    let guid = first["guid"].as_str().unwrap();
    assert_eq!(served.get(&format!("/schemas/guids/{guid}")).await, by_id);
    let ids = served.get(&format!("/schemas/guids/{guid}/ids")).await;
    assert_eq!(ids, json!([{ "context": ".", "id": 1 }]));
    assert_eq!(served.get("/subjects").await, json!(["a/b-value"]));
    for version in ["latest", "-1", "1"] {
        let path = format!("/subjects/a%2Fb-value/versions/{version}");
        assert_eq!(served.get(&path).await, first);
    }
    let text = served.get("/subjects/a%2Fb-value/versions/1/schema").await;
    assert_eq!(text, json!({ "type": "object" }));
    assert_eq!(served.get("/schemas/ids/1/schema").await, text);
    let uses = json!([{ "subject": "a/b-value", "version": 1 }]);
    assert_eq!(served.get("/schemas/ids/1/versions").await, uses);
    assert_eq!(
        served.get("/schemas/ids/1/subjects").await,
        json!(["a/b-value"])
    );
    assert_eq!(served.get("/schemas?latestOnly=true").await, json!([first]));
    assert_eq!(served.get("/schemas?subjectPrefix=b").await, json!([]));
    assert_eq!(served.get("/schemas?offset=1").await, json!([]));
    assert_eq!(served.get("/subjects?limit=0").await, json!([]));
}

#[tokio::test]
async fn what_the_registry_says_about_itself() {
    let served = Served::start().await;
    assert_eq!(served.get("/").await, json!({}));
    assert_eq!(served.get("/contexts").await, json!(["."]));
    assert_eq!(
        served.get("/schemas/types").await,
        json!(["JSON", "PROTOBUF", "AVRO"])
    );
    assert_eq!(
        served.get("/v1/metadata/version").await["version"],
        env!("CARGO_PKG_VERSION")
    );
    assert!(served.get("/v1/metadata/id").await["scope"].is_object());
    let path = "/associations/resources/-/t?resourceType=topic&associationType=value";
    assert_eq!(served.code(Verb::GET, path, None).await, 404);
    assert_eq!(served.code(Verb::POST, path, None).await, 404);
    assert_eq!(served.code(Verb::GET, "/schemas/ids/x", None).await, 404);
}

/// Requests about settings, and deletes, with the codes of their refusals.
fn refused_settings() -> Vec<(Verb, &'static str, Option<Value>, i64)> {
    vec![
        (Verb::GET, "/config/s", None, 40408),
        (Verb::GET, "/mode/s", None, 40409),
        (Verb::DELETE, "/config/s", None, 40408),
        (Verb::DELETE, "/mode/s", None, 40409),
        (
            Verb::PUT,
            "/config",
            Some(json!({ "compatibility": "SOME" })),
            42203,
        ),
        (Verb::PUT, "/config", Some(json!({})), 42203),
        (
            Verb::PUT,
            "/config",
            Some(json!({ "compatibility": "FULL", "compatibilityGroup": "v" })),
            42205,
        ),
        (Verb::PUT, "/mode", Some(json!({ "mode": "SOME" })), 42204),
        (Verb::PUT, "/mode", Some(json!({ "mode": "IMPORT" })), 42205),
        (Verb::DELETE, "/subjects/s?permanent=true", None, 40405),
        (
            Verb::DELETE,
            "/subjects/s/versions/1?permanent=true",
            None,
            40407,
        ),
    ]
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let served = Served::start().await;
    let text = |text: &str| Some(json!({ "schema": text }));
    served.register("/subjects/s/versions", "\"int\"").await;
    let versions = "/subjects/s/versions";
    let of_settings = refused_settings();
    for (verb, path, body, code) in [
        (Verb::GET, "/schemas/ids/9", None, 40403),
        (Verb::GET, "/subjects/none/versions", None, 40401),
        (Verb::GET, "/subjects/s/versions/9", None, 40402),
        (Verb::GET, "/subjects/s/versions/x", None, 42202),
        (Verb::GET, "/schemas/guids/x", None, 40403),
        (Verb::POST, "/subjects/none", text("\"int\""), 40401),
        (Verb::POST, "/subjects/s", text("\"long\""), 40403),
        (Verb::POST, versions, text("\"string\""), 409),
        (Verb::POST, versions, text("{"), 42201),
        (Verb::POST, versions, text(""), 42201),
        (Verb::POST, versions, Some(json!([])), 42201),
        (
            Verb::POST,
            versions,
            Some(json!({ "schema": "{}", "schemaType": "XML" })),
            42201,
        ),
        (
            Verb::POST,
            versions,
            Some(json!({ "schema": "\"int\"", "ruleSet": { "domainRules": [] } })),
            42210,
        ),
        (
            Verb::POST,
            versions,
            Some(json!({ "schema": "\"int\"", "id": 7 })),
            // The schema is there, under another id.
            42205,
        ),
        (
            Verb::POST,
            "/subjects/__GLOBAL/versions",
            text("\"int\""),
            42208,
        ),
    ]
    .into_iter()
    .chain(of_settings)
    {
        assert_eq!(
            served.code(verb.clone(), path, body.clone()).await,
            code,
            "{verb} {path} {body:?}"
        );
    }
    let large = json!({ "schema": format!("\"{}\"", "x".repeat(9 << 20)) });
    assert_eq!(served.code(Verb::POST, versions, Some(large)).await, 42209);
    assert_eq!(served.get("/subjects/s/versions").await, json!([1]));
}

#[tokio::test]
async fn levels_are_set_and_schemas_compared() {
    let served = Served::start().await;
    let record = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    served.register("/subjects/s/versions", &record("")).await;
    let body = json!({ "schema": record(r#"{"name":"a","type":"int"}"#) });
    let compare = |path: &'static str| served.send(Verb::POST, path, Some(body.clone()));
    let latest = "/compatibility/subjects/s/versions/latest";
    assert_eq!(
        compare(latest).await,
        (200, json!({ "is_compatible": false }))
    );
    let (_, verbose) = compare("/compatibility/subjects/s/versions?verbose=true").await;
    assert_eq!(verbose["is_compatible"], false);
    let messages = verbose["messages"].to_string();
    for part in [
        "READER_FIELD_MISSING_DEFAULT_VALUE",
        "/fields/0",
        "BACKWARD",
    ] {
        assert!(messages.contains(part), "{messages}");
    }
    let missing = "/compatibility/subjects/s/versions/3";
    assert_eq!(compare(missing).await.1["error_code"], 40402);
    let none = "/compatibility/subjects/none/versions/latest";
    assert_eq!(compare(none).await.1["is_compatible"], true);

    let put = |path: &'static str, level: &str| {
        served.send(Verb::PUT, path, Some(json!({ "compatibility": level })))
    };
    assert_eq!(
        served.get("/config").await,
        json!({ "compatibilityLevel": "BACKWARD" })
    );
    assert_eq!(
        put("/config/s", "forward").await,
        (200, json!({ "compatibility": "FORWARD" }))
    );
    assert_eq!(compare(latest).await.1["is_compatible"], true);
    put("/config", "NONE").await;
    let level = |level: &str| json!({ "compatibilityLevel": level });
    assert_eq!(served.get("/config/s").await, level("FORWARD"));
    let deleted = served.send(Verb::DELETE, "/config/s", None).await;
    assert_eq!(deleted, (200, level("FORWARD")));
    assert_eq!(
        served.get("/config/s?defaultToGlobal=true").await,
        level("NONE")
    );
    assert_eq!(
        served.send(Verb::DELETE, "/config", None).await,
        (200, level("NONE"))
    );
    assert_eq!(served.get("/config").await, level("BACKWARD"));
}

#[tokio::test]
async fn references_are_given_back_and_keep_what_they_mean() {
    let served = Served::start().await;
    let base = r#"{"type":"record","name":"B","fields":[]}"#;
    served.register("/subjects/base/versions", base).await;
    let references = json!([{ "name": "B", "subject": "base", "version": 1 }]);
    let body = json!({
        "schema": r#"{"type":"array","items":"B"}"#,
        "references": references,
        "metadata": { "properties": { "owner": "me" } },
    });
    let (status, added) = served
        .send(Verb::POST, "/subjects/user/versions", Some(body))
        .await;
    assert_eq!(status, 200, "{added}");
    let read = served.get("/subjects/user/versions/1").await;
    assert_eq!(read["references"], references);
    assert_eq!(read["metadata"]["properties"]["owner"], "me");
    let resolved = served.get("/schemas/ids/2?format=resolved").await;
    assert!(resolved["schema"].as_str().unwrap().contains("\"record\""));
    assert_eq!(
        served.get("/subjects/base/versions/1/referencedby").await,
        json!([2])
    );
    assert_eq!(
        served.code(Verb::DELETE, "/subjects/base", None).await,
        42206
    );
    let deleted = served.send(Verb::DELETE, "/subjects/user", None).await;
    assert_eq!(deleted, (200, json!([1])));
    let path = "/subjects/base/versions/latest";
    assert_eq!(served.send(Verb::DELETE, path, None).await, (200, json!(1)));
    assert_eq!(served.get("/subjects").await, json!([]));
    assert_eq!(
        served.get("/subjects?deleted=true").await,
        json!(["base", "user"])
    );
    let one = "/subjects/base/versions/1?deleted=true";
    assert_eq!(served.get(one).await["deleted"], true);
}

#[tokio::test]
async fn contexts_are_a_prefix_of_paths_and_of_subjects() {
    let served = Served::start().await;
    served.register("/subjects/s/versions", "\"int\"").await;
    let added = served
        .register("/contexts/c/subjects/s/versions", "\"long\"")
        .await;
    assert_eq!(
        (&added["id"], &added["subject"]),
        (&json!(1), &json!(":.c:s"))
    );
    let qualified = "/subjects/:.c:s/versions/1";
    assert_eq!(served.get(qualified).await["guid"], added["guid"]);
    assert_eq!(served.get("/contexts").await, json!([".", ".c"]));
    assert_eq!(served.get("/contexts/.c/subjects").await, json!([":.c:s"]));
    assert_eq!(
        served.get("/subjects?subjectPrefix=:.c:").await,
        json!([":.c:s"])
    );
    assert_eq!(served.get("/subjects").await, json!(["s", ":.c:s"]));
    assert_eq!(served.get("/schemas").await.as_array().unwrap().len(), 1);
    assert_eq!(
        served
            .get("/schemas?subjectPrefix=:*:")
            .await
            .as_array()
            .unwrap()
            .len(),
        2
    );
    for path in [
        "/contexts/.c/schemas/ids/1",
        "/schemas/ids/1?subject=:.c:",
        "/schemas/ids/1?subject=:.c:s",
    ] {
        assert_eq!(served.get(path).await["schema"], "\"long\"", "{path}");
    }
    let body = Some(json!({ "compatibility": "FULL" }));
    served.send(Verb::PUT, "/contexts/c/config", body).await;
    let level = |path: &'static str| async { served.get(path).await["compatibilityLevel"].clone() };
    assert_eq!(level("/config/:.c:").await, "FULL");
    assert_eq!(level("/config/:.c:s?defaultToGlobal=true").await, "FULL");
    assert_eq!(level("/config").await, "BACKWARD");
}

#[tokio::test]
async fn protobuf_is_given_as_text_and_serialized() {
    let served = Served::start().await;
    let text = "syntax = \"proto3\";\nmessage A { int32 a = 1; }";
    let body = |text: &str| Some(json!({ "schema": text, "schemaType": "PROTOBUF" }));
    let path = "/subjects/p/versions";
    let (status, _) = served.send(Verb::POST, path, body(text)).await;
    assert_eq!(status, 200);
    assert_eq!(served.get("/subjects/p/versions/1").await["schema"], text);
    let serialized = served.get("/schemas/ids/1?format=serialized").await;
    let serialized = serialized["schema"].as_str().unwrap().to_owned();
    let (status, other) = served
        .send(Verb::POST, "/subjects/q/versions", body(&serialized))
        .await;
    assert_eq!(status, 200, "{other}");
    let other = served.get("/subjects/q/versions/1").await;
    assert!(other["schema"].as_str().unwrap().contains("message A {"));
    let again = served.get("/subjects/q/versions/1?format=serialized").await;
    assert_eq!(again["schema"], serialized);
}
