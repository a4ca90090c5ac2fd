using System.Net;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>What one shape of a storm did to the honest, and to the relay's memory.</summary>
/// <param name="Quiet">The honest alone.</param>
/// <param name="Storm">The honest meanwhile.</param>
/// <param name="BytesBefore">The relay's memory before.</param>
/// <param name="BytesPeak">The most it had meanwhile.</param>
/// <param name="HostileActs">How much the hostile client got done, or was refused.</param>
internal sealed record ShapeResult(HonestRounds Quiet, HonestRounds Storm, long BytesBefore, long BytesPeak, long HostileActs)
{
    /// <summary>How much longer the slowest in a hundred whole rounds took.</summary>
    public double Slowdown => Storm.Whole.At(0.99) / Quiet.Whole.At(0.99);
}

/// <summary>Honest clients first alone, then beside one hostile client of a shape.</summary>
internal static class ShapeStorm
{
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(3);
    private static readonly IPAddress WarmUpAddress = IPAddress.Parse("127.0.0.3");

    /// <param name="relay">The relay.</param>
    /// <param name="directory">A directory on its disk.</param>
    /// <param name="shape">Name of the shape.</param>
    /// <param name="flood">The hostile client.</param>
    /// <param name="time">How long each of the two runs takes.</param>
    /// <param name="residentBytes">Says the relay's memory now.</param>
    public static ShapeResult Run(IPEndPoint relay, string directory, string shape, IFlood flood, TimeSpan time, Func<long> residentBytes)
    {
        using var honest = new HonestClients(relay, directory);

        // 1. A relay that is attacked has been running for a while: it has seen everything before, from another address.
        using (var first = Shape.Create(shape, relay, WarmUpAddress))
        {
            first.Start();
            honest.Run(WarmUp < time ? WarmUp : time);
            first.Stop();
        }

        // 2. The honest alone, then not.
        var quiet = honest.Run(time);
        using var memory = new MemoryWatch(residentBytes);
        flood.Start();
        var storm = honest.Run(time);
        var acts = flood.Stop();
        return new ShapeResult(quiet, storm, memory.First, memory.Peak, acts);
    }

    private sealed class MemoryWatch : IDisposable
    {
        private readonly Timer _timer;
        private readonly Func<long> _read;
        private long _peak;

        public MemoryWatch(Func<long> read)
        {
            _read = read;
            First = _peak = read();
            _timer = new Timer(_ => Look(), null, 0, 20);
        }

        public long First { get; }

        public long Peak => Volatile.Read(ref _peak);

        public void Dispose() => _timer.Dispose();

        private void Look()
        {
            var now = _read();
            if (now > Volatile.Read(ref _peak))
            {
                Volatile.Write(ref _peak, now);
            }
        }
    }
}
