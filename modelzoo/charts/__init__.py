"""Charts of runs, of networks, of what networks see, and of the arithmetic that they are made of.

Each function takes plain data and returns an Altair chart that draws without a network; `save`
writes one to a file, and `modelzoo.show` shows one in a notebook. Nothing here starts a framework.

Example:
    >>> layers = modelzoo.summary("lenet5")
    >>> modelzoo.charts.save(modelzoo.charts.architecture(layers, "lenet5"), "lenet5.svg").name
    'lenet5.svg'
"""

from modelzoo.charts.architecture import architecture as architecture
from modelzoo.charts.arithmetic import activations as activations
from modelzoo.charts.arithmetic import convolution_steps as convolution_steps
from modelzoo.charts.arithmetic import filtered_pictures as filtered_pictures
from modelzoo.charts.confusion import confusion_matrix as confusion_matrix
from modelzoo.charts.confusion import mistakes as mistakes
from modelzoo.charts.curves import compare_runs as compare_runs
from modelzoo.charts.curves import curves_side_by_side as curves_side_by_side
from modelzoo.charts.curves import training_curves as training_curves
from modelzoo.charts.explanations import feature_maps as feature_maps
from modelzoo.charts.explanations import kernel_of as kernel_of
from modelzoo.charts.explanations import kernels as kernels
from modelzoo.charts.explanations import saliency as saliency
from modelzoo.charts.style import Chart as Chart
from modelzoo.charts.style import save as save
