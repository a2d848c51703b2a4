"""Documents, wishes and runs for the tests of the ledger."""

from __future__ import annotations

from typing import Any

from clawfleet import ledger
from clawfleet.edits import Item, Path
from clawfleet.ledger import Document, Ledger
from clawfleet.merge import Set, apply
from clawfleet.plan import FileChange
from clawfleet.snapshot import File

PATH = "/Users/mac/.openclaw/openclaw.json"

OLLAMA = ("models", "providers", "ollama")
MODELS = (*OLLAMA, "models")
GPT, QWEN, PHI = (Item("id", name) for name in ("gpt-oss:20b", "qwen3-coder", "phi4"))
DEFAULTS = ("agents", "defaults")
MODEL, ALIASES = (*DEFAULTS, "model"), (*DEFAULTS, "models")

USERS = """\
// two years old
{
  channels: { telegram: { botToken: '123:abc', }, }, // family
  models: {
    providers: {
      zai: { baseUrl: 'https://api.z.ai', models: [{ id: 'glm-4.5-air' }] },
      ollama: {
        // 0x7530 ms is half a minute
        timeoutSeconds: 0x1E,
        models: [
          { id: 'phi4', name: 'Phi' }, // for the kids
        ],
      },
    },
  },
  agents: {
    defaults: {
      model: 'zai/glm-4.5-air', // cheap
      models: { 'zai/glm-4.5-air': { alias: 'Air' } },
    },
  },
  gateway: { port: 18790 },
}
"""


def wanted() -> dict[str, Any]:
    return {
        "models": {
            "providers": {
                "ollama": {
                    "baseUrl": "http://127.0.0.1:11434",
                    "timeoutSeconds": 300,
                    "models": [
                        {"id": "gpt-oss:20b", "name": "GPT-OSS", "contextWindow": 32768},
                        {"id": "qwen3-coder", "name": "Qwen", "contextWindow": 32768},
                    ],
                }
            }
        },
        "agents": {
            "defaults": {
                "model": {"primary": "ollama/gpt-oss:20b", "fallbacks": ["ollama/qwen3-coder"]},
                "models": {"ollama/gpt-oss:20b": {"alias": "GPT"}, "ollama/qwen3-coder": {}},
            }
        },
        "gateway": {"mode": "local", "auth": {"mode": "token", "token": "s3cret"}},
    }


def without_qwen() -> dict[str, Any]:
    less = wanted()
    less["models"]["providers"]["ollama"]["models"].pop()
    less["agents"]["defaults"]["model"]["fallbacks"].pop()
    del less["agents"]["defaults"]["models"]["ollama/qwen3-coder"]
    return less


def deploy(
    text: str | None, wish: dict[str, Any], known: Document | None = None
) -> tuple[str, Document]:
    edits = ledger.stale(text or "", known, wish)
    merged = apply(text or "", [*edits, *(Set((key,), value) for key, value in wish.items())])
    file = File(PATH, None if text is None else text.encode())
    change = FileChange(file, merged.text.encode(), merged=tuple(merged.changes))
    before = Ledger({PATH: known} if known else {})
    return merged.text, ledger.record(before, [change]).documents.get(PATH, Document())


def paths(document: Document) -> list[Path]:
    return [one.path for one in document.records]
