"""Why a model does not run here. Free of onnxruntime, so that the command line can tell these from crashes.

EngineError
├─ ModelError      a model folder that cannot be trusted or understood
└─ ProviderError   what was asked to run it is not what would
"""


class EngineError(RuntimeError):
    """Trying again changes nothing: somebody must change the model folder, the installation or a setting."""


class ModelError(EngineError):
    """A model folder that cannot be trusted or understood; the text says which file and what was found."""


class ProviderError(EngineError):
    """The provider asked for is not the one that would run. Nothing falls back in silence."""
