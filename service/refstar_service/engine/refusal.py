"""Why a model does not run here. Free of onnxruntime, so that the command line can tell these from crashes."""


class EngineRefused(RuntimeError):  # noqa: N818  a refusal is an answer
    """Trying again changes nothing: somebody must change the model folder, the installation or a setting."""


class ModelRefused(EngineRefused):
    """A model folder that cannot be trusted or understood; the text says which file and what was found."""


class ProviderUnavailable(EngineRefused):
    """The provider asked for is not the one that would run. Nothing falls back in silence."""
