"""The three sizes of blending-nerf: a large GPU, 8 GB, and two CPU cores with the embedded guidance."""

from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.configs.base_config import LocalWriterConfig, LoggingConfig, MachineConfig, ViewerConfig
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.plugins.types import MethodSpecification

from blending_nerf_ns.bases.nerfacto import NerfactoBaseConfig
from blending_nerf_ns.edits.field import EditFieldConfig
from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.model import BlendingModelConfig
from blending_nerf_ns.pipeline_config import BlendingPipelineConfig
from blending_nerf_ns.trainer import BlendingTrainerConfig


def _optimizers() -> dict:
    # the pipeline sets the rates by each stage's own steps, so there are no schedulers here
    return {
        "proposal_networks": {"optimizer": AdamOptimizerConfig(lr=1e-2, eps=1e-15), "scheduler": None},
        "fields": {"optimizer": AdamOptimizerConfig(lr=1e-2, eps=1e-15), "scheduler": None},
        "camera_opt": {"optimizer": AdamOptimizerConfig(lr=1e-3, eps=1e-15), "scheduler": None},
        "edit_field": {"optimizer": AdamOptimizerConfig(lr=5e-3, eps=1e-15), "scheduler": None},
    }


def _data(rays: int) -> VanillaDataManagerConfig:
    return VanillaDataManagerConfig(
        dataparser=NerfstudioDataParserConfig(), train_num_rays_per_batch=rays, eval_num_rays_per_batch=rays
    )


def _trainer(method_name: str, pipeline: BlendingPipelineConfig, **changes) -> BlendingTrainerConfig:
    return BlendingTrainerConfig(
        method_name=method_name,
        pipeline=pipeline,
        optimizers=_optimizers(),
        max_num_iterations=1_000_000,  # the stages' own steps end a run
        steps_per_eval_batch=0,
        steps_per_eval_image=0,
        steps_per_eval_all_images=0,
        logging=LoggingConfig(steps_per_log=50, local_writer=LocalWriterConfig(enable=False)),
        vis="viewer",
        **changes,
    )


blending_nerf = MethodSpecification(
    config=_trainer(
        "blending-nerf",
        BlendingPipelineConfig(
            datamanager=_data(4096),
            model=BlendingModelConfig(
                base=NerfactoBaseConfig(
                    camera_optimizer=CameraOptimizerConfig(mode="SO3xR3"),
                    average_init_density=0.01,  # as `ns-train nerfacto`: with the class's own 1, fog before the cameras stays
                    eval_num_rays_per_chunk=1 << 16,
                ),
                edit_field=EditFieldConfig(
                    num_levels=12, base_res=16, max_res=1024, log2_hashmap_size=18, features_per_level=2, hidden_dim=64
                ),
                edit_samples_per_ray=96,
                region_resolution=128,
                eval_num_rays_per_chunk=1 << 16,
            ),
            base_steps=30_000,
            edit_steps=3_000,
            region=RegionConfig(localizer="CIDAS/clipseg-rd64-refined", views=32, image_size=352),
            guidance=GuidanceConfig(
                model="ViT-B-16",
                pretrained="laion2b_s34b_b88k",
                mixed_precision=True,
                image_size=224,
                views=96,
                rays_per_chunk=1 << 14,  # a view in one chunk: several are rendered twice, to save what a large GPU has
            ),
        ),
        mixed_precision=True,
        steps_per_save=500,
        viewer=ViewerConfig(num_rays_per_chunk=1 << 16),
    ),
    description="Blending-NeRF: text-driven localised editing; nerfacto base and hash-grid edit, for a large GPU.",
)

blending_nerf_small = MethodSpecification(
    config=_trainer(
        "blending-nerf-small",
        BlendingPipelineConfig(
            datamanager=_data(2048),
            model=BlendingModelConfig(
                base=NerfactoBaseConfig(
                    log2_hashmap_size=17,
                    max_res=1024,
                    num_proposal_samples_per_ray=(128, 64),
                    num_nerf_samples_per_ray=32,
                    camera_optimizer=CameraOptimizerConfig(mode="SO3xR3"),
                    average_init_density=0.01,
                    eval_num_rays_per_chunk=1 << 15,
                ),
                edit_field=EditFieldConfig(max_res=512, log2_hashmap_size=16),
                edit_samples_per_ray=64,
                eval_num_rays_per_chunk=1 << 15,
            ),
            base_steps=15_000,
            edit_steps=2_000,
            region=RegionConfig(localizer="CIDAS/clipseg-rd64-refined", views=24, image_size=256),
            guidance=GuidanceConfig(
                model="ViT-B-32", pretrained="laion2b_s34b_b79k", mixed_precision=True, image_size=160, views=64
            ),
        ),
        mixed_precision=True,
        steps_per_save=500,
        viewer=ViewerConfig(num_rays_per_chunk=1 << 15),
    ),
    description="Blending-NeRF for a GPU of 8 GB.",
)

blending_nerf_cpu = MethodSpecification(
    config=_trainer(
        "blending-nerf-cpu",
        BlendingPipelineConfig(
            datamanager=_data(1024),
            model=BlendingModelConfig(
                base=NerfactoBaseConfig(
                    num_levels=8,
                    features_per_level=4,
                    max_res=1024,
                    log2_hashmap_size=16,
                    hidden_dim=64,
                    hidden_dim_color=64,
                    num_proposal_iterations=1,
                    num_proposal_samples_per_ray=(64,),
                    num_nerf_samples_per_ray=32,
                    proposal_net_args_list=[
                        {
                            "hidden_dim": 16,
                            "log2_hashmap_size": 15,
                            "num_levels": 5,
                            "max_res": 256,
                            "use_linear": False,
                        }
                    ],
                    use_appearance_embedding=False,
                    camera_optimizer=CameraOptimizerConfig(mode="off"),
                    average_init_density=0.01,
                    implementation="torch",
                    eval_num_rays_per_chunk=2048,
                ),
                edit_field=EditFieldConfig(num_levels=6, max_res=128, log2_hashmap_size=14, implementation="torch"),
                edit_samples_per_ray=48,
                eval_num_rays_per_chunk=2048,
            ),
            base_steps=1500,
            edit_steps=400,
            region=RegionConfig(threshold=0.4),  # the small localiser is rarely sure
            judge_model="embedded-judge",
        ),
        machine=MachineConfig(device_type="cpu"),
        steps_per_save=100,
        viewer=ViewerConfig(num_rays_per_chunk=2048),
    ),
    description="Blending-NeRF on two CPU cores, with the embedded guidance: nothing to download.",
)
