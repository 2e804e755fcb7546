"""Where gradients flow: rules about derivatives speak only where something says that they do.

Off under `no_grad`, in an optimizer's step, in evaluation and constructors; on in modules, in losses by their name, and
in programs that call backward. In between (metrics, feature extraction, box arithmetic) there is no evidence, and no
finding.
"""

from __future__ import annotations

import ast
import re

from whynan.lint.calls import callers
from whynan.lint.file import File
from whynan.lint.guarded import reported
from whynan.remedy import flow
from whynan.remedy.form import SELECTING, Form, form
from whynan.remedy.source import FUNCTIONS

OFF = ("no_grad", "inference_mode", "set_grad_enabled(False)")
SETUP = frozenset("__init__ reset_parameters init_weights _init_weights init_params setup build extra_repr".split())
AWAY = frozenset("validation_step test_step predict_step predict evaluate validate".split())
MEASURES = re.compile(
    r"^(?!.*loss).*(recall|precision|_prec(_|$)|accura|metric|(^|_)(f1|auc|evaluate)(_|$))", re.IGNORECASE
)
RESULT = re.compile(r"pred|out|hidden|latent|logit|embed|loss|score", re.IGNORECASE)
TARGET = re.compile(
    r"(^|_)(targets?|labels?|gt|truth|true|clean|mixed|mixture|noisy|references?|refs?|grads?|gradients?)(_|$)",
    re.IGNORECASE,
)
DERIVES = re.compile(r"deriv|backward|jacobian|(^|_)vjp|(^|_)grad(s|ient|ients)?(_|$)", re.IGNORECASE)
SPECTRA = frozenset("stft fft rfft fft2 fftn rfft2 rfftn hfft".split())
LOSS = re.compile(
    r"loss|forward|penalt|regulari[sz]|energy|objective|criterion|nll|log_prob|training_step|neg_log", re.I
)
MODULE = re.compile(r"(^|\.)(\w*Module|\w*Loss|\w*Layer|\w*Net|\w*Block|\w*Model|Likelihood|Kernel)$")
APART = re.compile(r"Metric|Optimizer|Processor|Extractor|Dataset|Transform|Pipeline|Scheduler|Function$")
FEATURES = re.compile(
    r"^(?!.*Loss).*(Features?|Extractor|Preprocess|Augment|Dataset|Metric|Simulat|Perturb|Spectrogram|STFT|Frontend|Fbank|MFCC)",
    re.IGNORECASE,
)
DRAWS = re.compile(r"(^|_)(plot|draw|visuali[sz]e|show|render)(_|$)", re.IGNORECASE)
PREPARES = re.compile(r"Extractor|Preprocess|Augment|Simulat|Perturb")
CREATED = frozenset(
    "rand rand_like randint arange linspace zeros ones one_hot uniform eye tensor as_tensor from_numpy".split()
)
FILLED = frozenset("zeros ones empty arange linspace".split())
ARITHMETIC = frozenset("add sub mul div pow neg sin cos exp sqrt repeat repeat_interleave sum abs square".split())
OPTIMIZERS = {"optim", "optimizer", "optimizers"}  # folders
STEPPER = re.compile(r"Optimizer$")


def without_gradient(file: File, node: ast.AST) -> bool:
    """Whether nothing says that gradients flow through a node, or something says that they do not."""
    return switched_off(file, node) or not _switched_on(file, node)


def switched_off(file: File, node: ast.AST) -> bool:
    """Under no_grad, in an optimizer's step, in an evaluation, a constructor or the setup of a script."""
    parent = file.parents.get(node)
    if reported(file, node) or (isinstance(parent, ast.Attribute) and parent.attr == "detach"):
        return True
    loop = False
    for outer in file.ancestors(node):
        if _off(outer):
            return True
        if isinstance(outer, FUNCTIONS):
            if outer.name in SETUP or outer.name in AWAY or _called_off(file, outer):
                return True
            if DERIVES.search(outer.name) or MEASURES.search(outer.name):
                return True
        elif isinstance(outer, ast.ClassDef) and (
            any(APART.search(ast.unparse(base)) for base in outer.bases) or FEATURES.search(outer.name)
        ):
            return True
        elif isinstance(outer, ast.Module):
            return not loop  # statements of a script outside of its loops prepare data
        loop = loop or isinstance(outer, (ast.For, ast.While, *FUNCTIONS))
    return False


def prepares(file: File, node: ast.AST) -> bool:
    """Whether a node prepares data, by its class, or draws a picture: there is no training that it could spoil."""
    owner, function = file.class_of(node), file.function(node)
    if function is not None and DRAWS.search(function.name):
        return True
    return (
        isinstance(owner, ast.ClassDef)
        and PREPARES.search(" ".join([owner.name, *map(ast.unparse, owner.bases)])) is not None
    )


def _called_off(file: File, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether every call of a function in this file stands under no_grad."""
    found = callers(file, function)
    return bool(found) and all(any(_off(a) for a in file.ancestors(call)) for call in found)


def _off(node: ast.AST) -> bool:
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return any(off in ast.unparse(item.context_expr) for item in node.items for off in OFF)
    return isinstance(node, FUNCTIONS) and any(off in ast.unparse(d) for d in node.decorator_list for off in OFF)


def _switched_on(file: File, node: ast.AST) -> bool:
    """In a module, in a function that is by its name part of a loss, or in a file that calls backward."""
    if OPTIMIZERS & set(file.path.parts):
        return False
    if file.differentiates and file.program and not _steps(file):
        return True
    for outer in file.ancestors(node):
        if isinstance(outer, FUNCTIONS) and LOSS.search(outer.name):
            return True
        if isinstance(outer, ast.ClassDef) and any(MODULE.search(ast.unparse(base)) for base in outer.bases):
            return True
    return False


def of_entries(file: File, node: ast.AST, depth: int = 0) -> bool:
    """Whether an expression is made of entries of a batch alone, `features["position"]`, which need no gradient."""
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id not in file.aliases]
    entries = {n.value for n in ast.walk(node) if isinstance(n, ast.Subscript) and _is_entry(n)}
    others = [n for n in names if n not in entries and n in file.parents]
    if depth > 5 or not (others or entries):
        return False
    values = [flow.definition(file, n) for n in others]
    return all(value is not None and of_entries(file, value, depth + 1) for value in values)


def of_targets(file: File, node: ast.AST, depth: int = 0) -> bool:
    """Whether an expression is made of what is compared with, or of recordings: targets, a clean or a mixed signal."""
    if depth == 0 and of_spectrum(file, node):
        return True
    called = {n.func for n in ast.walk(node) if isinstance(n, ast.Call)}
    own = {n.value for n in called if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "self"}
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id not in file.aliases]
    names = [n for n in names if n not in called and n not in own]
    if depth > 5 or not names:
        return False
    for name in names:
        value = flow.definition(file, name) if name in file.parents else None
        if not (of_targets(file, value, depth + 1) if value is not None else TARGET.search(name.id)):
            return False
    return True


def of_spectrum(file: File, node: ast.AST) -> bool:
    """Whether an expression is a spectrum outside of a loss: a feature of a recording, which needs no gradient."""
    function, owner = file.function(node), file.class_of(node)
    names = [getattr(function, "name", ""), getattr(owner, "name", "")]
    if any("loss" in name.lower() for name in names) or file.program:
        return False
    texts = [n.func for n in ast.walk(node) if isinstance(n, ast.Call)]
    values = [flow.definition(file, n) for n in ast.walk(node) if isinstance(n, ast.Name) and n in file.parents]
    texts += [n.func for v in values if v is not None for n in ast.walk(v) if isinstance(n, ast.Call)]
    return any(flow.last_name(func) in SPECTRA for func in texts)


def _is_entry(node: ast.Subscript) -> bool:
    key = node.slice.value if isinstance(node.slice, ast.Constant) else None
    return isinstance(key, str) and isinstance(node.value, ast.Name) and RESULT.search(key) is None


def _steps(file: File) -> bool:
    """Whether a file defines optimizers: what its functions do to parameters and gradients is not differentiated."""
    cache = file.__dict__.get("_steps")
    if cache is None:
        bases = [base for c in file.all(ast.ClassDef) if isinstance(c, ast.ClassDef) for base in c.bases]
        cache = any(STEPPER.search(ast.unparse(base)) for base in bases)
        file.__dict__["_steps"] = cache
    found: bool = cache
    return found


def created(file: File, f: Form, depth: int = 0) -> bool:
    """Whether a value is made on the spot, perhaps filled afterwards, so that it is not data and has no gradient.

    Arithmetic on such values is one, too: a grid of coordinates, a positional encoding.
    """
    if f.number is not None or f.op in CREATED:
        return True
    if depth > 6:
        return False
    if f.op == "name" and isinstance(f.node, ast.Name):
        made = [value for _, value in flow.bindings(file, file.scope(f.node), f.node.id) if value is not None]
        forms = [form(file, value) for value in made]
        return any(g.op in FILLED for g in forms) or (bool(forms) and created(file, forms[0], depth + 1))
    if f.op in ARITHMETIC or f.op == "type_as" or (f.op in SELECTING and f.lib != "python"):
        parts = f.args if f.op in ("add", "sub", "mul", "div") else f.args[:1]
        made_here = [created(file, a, depth + 1) for a in parts if a.number is None]
        others = [a for a in parts if a.number is None and not created(file, a, depth + 1)]
        return any(made_here) and all(_setting(file, a) for a in others)
    return False


def _setting(file: File, f: Form) -> bool:
    """A name that is no array: a parameter with a default, an attribute of self."""
    if isinstance(f.node, ast.Attribute):
        return isinstance(f.node.value, ast.Name) and f.node.value.id == "self"
    return f.op == "name" and flow.default(file.scope(f.node), str(f.value)) is not None
