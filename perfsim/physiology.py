"""Physiological constants, and the calibration: once, on the healthy embedded heart.

`benchmarks/calibrate.py` recomputes SUPPLY, DRAINAGE and PIVOT and prints them; nothing else is tuned.
"""

from perfsim.units import ML_MIN_G, MMHG

AORTIC_REST = 93.0 * MMHG
AORTIC_HYPEREMIA = 88.0 * MMHG
BACK_EPI = 10.0 * MMHG
BACK_ENDO = 25.0 * MMHG
LEAST_THROAT = 0.02
"""throat d/D that case files, interventions and fits stay above; at 0.03 a vessel is as good as closed: its flow falls
by a factor of a million"""
HIGHEST_HEMATOCRIT = 0.75
"""that case files and fits stay below"""
DEMAND = 0.9 * ML_MIN_G
"""rest flow [m³/(s·kg)], an input"""
REFERENCE_DIAMETER = 100e-6
"""D_ref [m]: below it vessels are part of the tissue"""
CROWN_LENGTH = 0.300
"""c of L_k = c V_k^(1/3): the value for which MBF does not depend on the number of terminals"""
SUPPLY = 1.5661e-5
"""g_a [1/(Pa·s)]: mean hyperemic MBF 3.5 mL/min/g"""
DRAINAGE = 4.6966e-5
"""g_v [1/(Pa·s)]: capillaries 10 mmHg above the back pressure"""
MOBILITY = 3e-11
"""K [m²/(Pa·s)]: screening length √(K/(g_a+g_v)) = 0.69 mm"""
PIVOT = 48.256 * MMHG
"""p* of the transmural profile: healthy hyperemic endo/epi 1.0"""
CONFOUNDERS = {
    "tone": "microvascular tone",
    "throat": "stenoses",
    "demand": "resting demand",
    "pressure": "aortic pressure",
    "scale": "calibration scale",
    "rotation": "rotation of the map",
}
"""what can explain a map of MBF as well as one another, in words: free in a fit unless the case says otherwise"""
HALF_LIFE = {"O15": 122.24, "Rb82": 76.4, "N13": 597.9, "F18": 6586.2}
"""of tracers' radionuclides [s]; ⁸²Rb by Prior et al. 2012, the others as textbooks give them"""
