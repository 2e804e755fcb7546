"""Why: measurements, causes, and the experiments that decide between them."""

from __future__ import annotations

from whynan.diagnose.catalogue import all_causes as all_causes
from whynan.diagnose.catalogue import page as page
from whynan.diagnose.engine import Diagnosis as Diagnosis
from whynan.diagnose.engine import assess_only as assess_only
from whynan.diagnose.engine import diagnose as diagnose
from whynan.diagnose.inquest import Inquest as Inquest
