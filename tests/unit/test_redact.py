"""Nothing secret is shown, and what is no secret stays readable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clawfleet import redact
from clawfleet.json5 import loads, same
from tests.unit.json5_documents import CORPUS, Written, documents

SALT = "a run"
PLANTED = "planted-Zq7secret"

# Ways in which a secret stands in a configuration; ¤ is the secret.
IN_JSON5 = [
    "{ gateway: { auth: { mode: 'token', token: '¤' } } }",
    '{ gateway: { auth: { password: "¤" } } }',
    "{ models: { providers: { zai: { apiKey: '¤' } } } }",
    "{ models: { providers: { zai: { api_key: '¤', 'api-key': '¤', APIKEY: '¤' } } } }",
    "{ models: { providers: { zai: { headers: { Authorization: 'Bearer ¤' } } } } }",
    "{ models: { providers: { zai: { headers: { 'X-Api-Key': '¤', Cookie: 'a=¤' } } } } }",
    "{ models: { providers: { zai: { baseUrl: 'https://me:¤@host.example/v1' } } } }",
    "{ models: { providers: { zai: { baseUrl: 'https://¤@host.example/v1' } } } }",
    "{ models: { providers: { zai: { baseUrl: 'https://host.example/v1?a=b&api_key=¤&c=d' } } } }",
    "{ channels: { telegram: { botToken: '¤' }, slack: { appToken: '¤', signingSecret: '¤' } } }",
    "{ channels: { slack: { webhookUrl: 'https://hooks.slack.com/services/T0/B0/¤' } } }",
    "{ env: { ZAI_API_KEY: '¤', vars: { GH_PAT: '¤', DB_PASS: '¤', SOME_KEY: '¤' } } }",
    "{ env: { FOO: 'sk-¤' , BAR: 'ghp_¤0123456789' } }",
    "{ note: 'use sk-¤ for it' }",
    "{ note: 'curl -H \"Authorization: Bearer ¤\"', start: 'run --token ¤ --x' }",
    "{ profiles: { 'zai:default': { type: 'api_key', provider: 'zai', key: '¤' } } }",
    "{ profiles: { g: { type: 'oauth', access: '¤', refresh: '¤', expires: 17 } } }",
    "{ tls: { privateKey: '¤', passphrase: '¤' }, credentials: { a: { b: ['¤'] } } }",
    "{ secrets: { inner: '¤' }, tokens: ['¤'] }",
    "{ a: 1, // apiKey: '¤'\n b: 2 /* token = ¤ */ }",
    "// OPENCLAW_GATEWAY_TOKEN=¤\n{ a: 1 }",
    "{ token: 'line \\\n ¤' }",
    "{ \"\\u0074oken\": '¤' }",
    "{ 'sk-¤': true }",
]
IN_OTHER_TEXT = [
    "ZAI_API_KEY=¤\n",
    "  export ZAI_API_KEY='¤ with; a \"blank'\nPORT=1\n",
    "TOKEN=it'\\''s¤\n",
    "PASSWORD='it'\\''s ¤'\n",
    'PASSWORD="¤ \\" ¤"\r\nPORT=1\r\n',
    "HTTPS_PROXY=http://me:¤@proxy:8080\n",
    "<key>OPENCLAW_GATEWAY_TOKEN</key>\n  <string>¤</string>\n",
    "node gateway --token ¤ --password=¤\n",
    "openclaw: token: ¤, retrying\n",
    "{ broken, 'apiKey': '¤', \"key\": \"¤\" ",
    "Authorization: Bearer ¤\n",
    'KEY="-----BEGIN OPENSSH PRIVATE KEY-----\n¤\n-----END OPENSSH PRIVATE KEY-----"\n',
]


@pytest.mark.parametrize("text", [*IN_JSON5, *IN_OTHER_TEXT])
def test_no_secret_is_left(text: str) -> None:
    shown = redact.text(text.replace("¤", PLANTED), salt=SALT)
    assert PLANTED not in shown
    assert "Zq7" not in shown
    assert "‹secret " in shown


@pytest.mark.parametrize("text", IN_JSON5)
def test_no_secret_is_left_in_a_value(text: str) -> None:
    text = text.replace("¤", PLANTED)
    if PLANTED in repr(loads(text)):
        assert PLANTED not in repr(redact.value(loads(text), salt=SALT))


READABLE: list[Any] = [
    {"gateway": {"auth": {"mode": "token"}, "port": 18789}},
    {"apiKey": "ollama-local"},
    {"apiKey": "ollama"},
    {"apiKey": ""},
    {"apiKey": None, "token": True},
    {"apiKey": "${ZAI_API_KEY}", "headers": {"Authorization": "Bearer ${ZAI_API_KEY}"}},
    {"apiKey": {"source": "env", "provider": "default", "id": "ZAI_API_KEY"}},
    {"maxTokens": 8192, "contextTokens": 131072, "tokens": {"input": 3}, "tokenLimit": 5},
    {"tokenFile": "/etc/token", "passwordFile": "/etc/password", "secretRef": "vault"},
    {"sessionKey": "agent:main:main", "key": "agent:main:main", "publicKey": "ssh-ed25519"},
    {"id": "gpt-oss:20b", "baseUrl": "http://127.0.0.1:11434/v1", "fallbacks": ["zai/glm-4.5-air"]},
    {"expires": 1771405964, "access_count": 3, "groups": ["tg:123456"]},
]


@pytest.mark.parametrize("value", READABLE, ids=repr)
def test_what_is_no_secret_stays(value: Any) -> None:
    assert redact.value(value, salt=SALT) == value
    text = repr(value).replace("None", "null").replace("True", "true")
    assert redact.text(text, salt=SALT) == text


def test_environment_lines_that_are_no_secret_stay() -> None:
    text = "OLLAMA_HOST=127.0.0.1:11434\nTOKEN=${OTHER}\nNO_PROXY='localhost,::1'\nKEYBOARD=us\n"
    assert redact.text(text, salt=SALT) == text


def test_only_the_secrets_of_a_file_are_replaced() -> None:
    text = CORPUS["rich.json5"]
    shown = redact.text(text, salt=SALT)
    differing = [
        (old, new)
        for old, new in zip(text.split("\n"), shown.split("\n"), strict=True)
        if old != new
    ]
    assert [old.strip().split(":")[0] for old, _ in differing] == ["telegram", "baseUrl", "gateway"]
    assert "planted" not in shown
    assert "// tuned by hand, see notebook" in shown


@pytest.mark.parametrize("name", CORPUS)
def test_what_is_shown_of_the_corpus_can_still_be_read(name: str) -> None:
    shown = redact.text(CORPUS[name], salt=SALT)
    assert same(loads(shown), redact.value(loads(CORPUS[name]), salt=SALT))
    assert redact.text(shown, salt=SALT) == shown


def test_a_change_of_a_secret_is_seen_and_its_equality_too() -> None:
    one, other = "{ token: 'first' }", "{ token: 'second' }"
    assert redact.text(one, salt=SALT) != redact.text(other, salt=SALT)
    assert redact.text(one, salt=SALT) == redact.text(one, salt=SALT)
    assert redact.text(one, salt=SALT) != redact.text(one, salt="another run")


def test_the_length_of_the_hash() -> None:
    assert len(redact.value({"token": "x"}, salt=SALT)["token"]) == len("‹secret 3f2a›")
    assert len(redact.value({"token": "x"}, salt=SALT, digits=8)["token"]) == len("‹secret ›") + 8


def test_known_secrets_go_wherever_they_stand() -> None:
    text = "{ name: 'before hunter2 after', hunter2: 1 } // hunter2"
    shown = redact.text(text, salt=SALT, known=["hunter2", "", "hunter"])
    assert "hunter" not in shown
    assert shown.count("‹secret ") == 3
    assert "hunter2" not in redact.text("plain hunter2 line", salt=SALT, known=["hunter2"])


def test_a_source_that_is_no_word_is_no_reference() -> None:
    shown = redact.value({"apiKey": {"source": ["env"], "id": "planted"}}, salt=SALT)
    assert "planted" not in repr(shown)


@given(documents)
def test_a_document_without_secrets_is_shown_as_it_is(document: Written) -> None:
    assert redact.text(document.text, salt=SALT) == document.text


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=4), st.booleans())
def test_any_known_secret_is_hidden_however_it_is_written(secret: str, ascii_only: bool) -> None:
    written = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
    text = f'{{ "some note": "before:{written}:after", // {secret!r}\n }}'
    shown = redact.text(text, salt=SALT, known=[secret])
    assume(secret not in "{ some note: before:‹secret 0123456789abcdef›:after, // '' }")
    assert secret not in loads(shown)["some note"]
    assert redact.text(f"plain {secret} text", salt=SALT, known=[secret]).count(secret) == 0


@given(st.text())
def test_any_text_can_be_shown(text: str) -> None:
    redact.text(text, salt=SALT)
