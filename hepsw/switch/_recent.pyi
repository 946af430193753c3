from hepsw.hep.packet import Packet

class Recent:
    def again(self, packets: list[Packet], now: float) -> list[tuple[int, float]] | None: ...
