"""The model `art`: a callable that builds an ART classifier."""

from __future__ import annotations

from vidrobust_torch.model import find_reference, read_classes

from vidrobust.art import ArtClassifier, View
from vidrobust.art.classifier import Output
from vidrobust.errors import ConfigError, ModelError


def art_model(
    module: str,
    *,
    kwargs: dict[str, object] | None = None,
    classes: list[str] | str | int | None = None,
    view: View | None = None,
    output: Output = "auto",
    resize: int | None = None,
) -> ArtClassifier:
    """A threat model from any ART classifier of clips, its defences included.

    Args:
        module: What builds it, `package.module:callable` or `path/to/file.py:callable`.
        kwargs: Keyword arguments of the callable.
        classes: Class names in the order of the scores: a list, a text file with one a line, or
            just their number; None numbers them.
        view: Layout of its arrays: `ncfhw`, `nfhwc` or `fold`; None reads it off the estimator.
        output: What it answers; `auto` asks about a grey clip.
        resize: Short side to which a video is resized before the crop; None is 8/7 of the crop.

    Raises:
        ConfigError: If a setting makes no sense or the callable is not found.
        ModelError: If the callable fails, or gives something else.
    """
    from art.estimators.classification.classifier import ClassifierMixin

    factory = find_reference(module)
    if isinstance(factory, ClassifierMixin):
        estimator = factory
    elif not callable(factory):
        raise ConfigError(f"model.module: {module!r} is a {type(factory).__name__}, no callable")
    else:
        try:
            estimator = factory(**(kwargs or {}))
        except Exception as error:  # guard: foreign code may fail in any way
            raise ModelError(
                f"building {module!r} failed: {type(error).__name__}: {error}",
                hint="check model.kwargs against its signature",
            ) from error
    if not isinstance(estimator, ClassifierMixin):
        raise ModelError(
            f"{module!r} returned a {type(estimator).__name__}, expected an ART classifier",
            hint="such as art.estimators.classification.PyTorchClassifier; for a torch.nn.Module "
            "use the model 'torch'",
        )
    names = None if classes is None else read_classes(classes)
    return ArtClassifier(estimator, names, view=view, output=output, resize=resize)
