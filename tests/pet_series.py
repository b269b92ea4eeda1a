"""PET series as scanners write them, made by pydicom from a known image."""

import datetime
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CLASSIC, ENHANCED, LEGACY = (
    "1.2.840.10008.5.1.4.1.1.128",
    "1.2.840.10008.5.1.4.1.1.130",
    "1.2.840.10008.5.1.4.1.1.128.1",
)


class Scan:
    """A dynamic scan: activity (x, y, z, frames) [Bq/mL] corrected to time 0, the injection, and how it is written."""

    def __init__(self, activity, start, duration, half_life=76.4, spacing=(3.0, 2.5, 4.0), corner=(-20.0, 10.0, 5.0)):
        self.activity, self.start, self.duration = np.asarray(activity, float), np.asarray(start), np.asarray(duration)
        self.half_life, self.spacing, self.corner = half_life, spacing, corner
        self.injection = datetime.datetime(2024, 3, 1, 10, 20, 30)
        self.correction, self.corrected_to = "START", float(start[0])
        self.series_time: datetime.datetime | None = None
        self.changes: dict[str, object] = {}
        """attributes of every slice that are set (or, None, left out) last"""
        self.by_frame: dict[str, list] = {}
        """likewise, frame by frame"""
        self.series, self.study = generate_uid(), generate_uid()

    @property
    def affine(self) -> np.ndarray:
        """From indices to LPS metres."""
        return 1e-3 * np.vstack([np.column_stack([np.diag(self.spacing), self.corner]), [0, 0, 0, 1e3]])

    def factors(self) -> np.ndarray:
        """Decay correction of each frame to the time that the scanner corrects to."""
        x = np.log(2) / self.half_life * self.duration
        return x * np.exp(np.log(2) / self.half_life * (self.start - self.corrected_to)) / -np.expm1(-x)

    def stored(self) -> np.ndarray:
        """Values in the files: decayed, and corrected again as the scanner does."""
        x = np.log(2) / self.half_life * self.duration
        measured = self.activity / (x * np.exp(np.log(2) / self.half_life * self.start) / -np.expm1(-x))
        return measured if self.correction == "NONE" else measured * self.factors()

    def write(self, folder: Path) -> Path:
        """One file for each slice of each frame."""
        folder.mkdir(parents=True, exist_ok=True)
        values = self.stored()
        for t in range(values.shape[3]):
            for z in range(values.shape[2]):
                data, slope = self._head(CLASSIC), float(values[:, :, z, t].max()) / 30000 or 1.0
                self._describe(data, z, t)
                data.PixelData = np.rint(values[:, :, z, t].T / slope).astype(np.int16).tobytes()
                data.RescaleSlope, data.RescaleIntercept = slope, 0.0
                self._change(data, t)
                data.save_as(folder / f"{t:03d}_{z:03d}.dcm", enforce_file_format=True)
        return folder

    def write_enhanced(self, folder: Path, legacy: bool = False) -> Path:
        """All slices as frames of one file."""
        folder.mkdir(parents=True, exist_ok=True)
        values, data, groups, pixels = self.stored(), self._head(LEGACY if legacy else ENHANCED), [], []
        for t in range(values.shape[3]):
            for z in range(values.shape[2]):
                slope = float(values[:, :, z, t].max()) / 30000 or 1.0
                pixels.append(np.rint(values[:, :, z, t].T / slope).astype(np.int16))
                groups.append(self._group(z, t, slope, legacy))
        shared, measures, plane = Dataset(), Dataset(), Dataset()
        measures.PixelSpacing = [self.spacing[1], self.spacing[0]]
        plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
        data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], groups
        data.NumberOfFrames, data.PixelData = len(groups), np.stack(pixels).tobytes()
        data.save_as(folder / "all.dcm", enforce_file_format=True)
        return folder

    def _group(self, z: int, t: int, slope: float, legacy: bool) -> Dataset:
        group, place, scale, content = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [self.corner[0], self.corner[1], self.corner[2] + z * self.spacing[2]]
        scale.RescaleSlope, scale.RescaleIntercept = slope, 0.0
        group.PlanePositionSequence, group.PixelValueTransformationSequence = [place], [scale]
        if legacy:
            self._clock(content, t)
            group.UnassignedPerFrameConvertedAttributesSequence = [content]
        else:
            at = self.injection + datetime.timedelta(seconds=float(self.start[t]))
            content.FrameAcquisitionDateTime = at.strftime("%Y%m%d%H%M%S.%f")
            content.FrameAcquisitionDuration = 1e3 * float(self.duration[t])
            decay = Dataset()
            decay.DecayFactor = float(self.factors()[t])
            group.FrameContentSequence, group.PETFrameCorrectionFactorsSequence = [content], [decay]
        return group

    def _head(self, kind: str) -> Dataset:
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = kind
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.SeriesInstanceUID, data.StudyInstanceUID, data.Modality = self.series, self.study, "PT"
        data.Rows, data.Columns = self.activity.shape[1], self.activity.shape[0]
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 1
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.Units, data.DecayCorrection, data.SeriesType = "BQML", self.correction, ["DYNAMIC", "IMAGE"]
        data.SeriesDescription = "stress"
        data.CorrectedImage = ["ATTN", "SCAT"] + ["DECY"] * (self.correction != "NONE")
        begun = self.series_time or self.injection + datetime.timedelta(seconds=float(self.start[0]))
        data.SeriesDate, data.SeriesTime = begun.strftime("%Y%m%d"), begun.strftime("%H%M%S.%f")
        drug = Dataset()
        drug.RadiopharmaceuticalStartTime = self.injection.strftime("%H%M%S.%f")
        drug.RadiopharmaceuticalStartDateTime = self.injection.strftime("%Y%m%d%H%M%S.%f")
        drug.RadionuclideHalfLife = self.half_life
        data.RadiopharmaceuticalInformationSequence = [drug]
        return data

    def _describe(self, data: Dataset, z: int, t: int) -> None:
        data.ImagePositionPatient = [self.corner[0], self.corner[1], self.corner[2] + z * self.spacing[2]]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing = [self.spacing[1], self.spacing[0]]
        self._clock(data, t)

    def _clock(self, data: Dataset, t: int) -> None:
        at = self.injection + datetime.timedelta(seconds=float(self.start[t]))
        data.AcquisitionDate, data.AcquisitionTime = at.strftime("%Y%m%d"), at.strftime("%H%M%S.%f")
        data.ActualFrameDuration = round(1e3 * float(self.duration[t]))
        data.FrameReferenceTime = 1e3 * float(self.start[t] + 0.5 * self.duration[t])
        if self.correction != "NONE":
            data.DecayFactor = float(f"{self.factors()[t]:.6g}")

    def _change(self, data: Dataset, t: int) -> None:
        drug = data.RadiopharmaceuticalInformationSequence[0]
        for name, value in (*self.changes.items(), *((n, v[t]) for n, v in self.by_frame.items())):
            place = drug if name.startswith("Radio") else data
            if value is None:
                if name in place:
                    delattr(place, name)
            else:
                setattr(place, name, value)


def read_back(folder: Path) -> Dataset:
    """The first file."""
    return pydicom.dcmread(sorted(folder.rglob("*.dcm"))[0])
