using Marmot.Protocol.Encoding;

namespace Marmot.NotifyServer.Triggers;

/// <summary>Contents of our own padding-only triggers that are on their way through a relay.</summary>
internal sealed class CanaryBook(TimeProvider time)
{
    private static readonly TimeSpan Life = TimeSpan.FromMinutes(2);
    private readonly Lock _gate = new();
    private readonly Dictionary<Bytes32, (DateTimeOffset Sent, Action<TimeSpan> Arrived)> _sent = [];

    public void Expect(in Bytes32 content, Action<TimeSpan> arrived)
    {
        lock (_gate)
        {
            var now = time.GetUtcNow();
            foreach (var old in _sent.Where(pair => now - pair.Value.Sent > Life).Select(pair => pair.Key).ToArray())
            {
                _sent.Remove(old);
            }

            _sent[content] = (now, arrived);
        }
    }

    public bool TryRecognise(in Bytes32 content)
    {
        (DateTimeOffset Sent, Action<TimeSpan> Arrived) canary;
        lock (_gate)
        {
            if (!_sent.Remove(content, out canary))
            {
                return false;
            }
        }

        canary.Arrived(time.GetUtcNow() - canary.Sent);
        return true;
    }
}
