"""Actors that all tasks of a node share: started by the first task that needs one, ended by the driver."""

from typing import Any


def node_actor(kind: type, namespace: str, *args: Any, suffix: str = "", gpus: float = 0.0, calls: int = 8) -> Any:
    """Returns the handle of this node's actor of a namespace, which is started without waiting if there is none.

    Args:
        kind: the class of the actor.
        namespace: of one job and purpose.
        args: of the class.
        suffix: tells several actors of a node apart.
        gpus: share of a GPU that the actor asks Ray for.
        calls: that it works on at a time, each in a thread.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node, actor = ray.get_runtime_context().get_node_id(), ray.remote(kind)
    options: dict[str, Any] = {"name": f"{node}{suffix}", "namespace": namespace, "get_if_exists": True}
    # Detached: it must not end with the worker that needed it first.
    options |= {"lifetime": "detached", "num_cpus": 0, "num_gpus": gpus, "max_concurrency": calls}
    options |= {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
    return actor.options(**options).remote(*args)


def actors_of(namespace: str) -> list[Any]:
    """Returns the handles of all actors of a namespace, on whichever node."""
    import ray
    from ray.util import list_named_actors

    found = []
    actors: list[Any] = list_named_actors(all_namespaces=True)
    for actor in actors:
        if actor["namespace"] == namespace:
            try:
                found.append(ray.get_actor(actor["name"], namespace))
            except ValueError:
                continue  # it has just ended
    return found


def end_actors(namespace: str) -> None:
    """Ends all actors of a namespace."""
    import ray

    for actor in actors_of(namespace):
        ray.kill(actor)
