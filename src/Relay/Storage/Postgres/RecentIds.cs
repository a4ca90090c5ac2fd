using Marmot.Protocol.Encoding;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>Ids this process saw stored lately, so that most duplicates are answered without a signature check or a question to the server.</summary>
/// <remarks>Two generations; the older goes when the younger is full. Cleared whenever something is removed, here or elsewhere. Thread-safe.</remarks>
internal sealed class RecentIds
{
    private const int GenerationSize = 65_536; // 32-byte ids: two generations take about 6 MiB
    private readonly Lock _lock = new();
    private HashSet<Bytes32> _young = [];
    private HashSet<Bytes32> _old = [];

    public bool Contains(in Bytes32 id)
    {
        lock (_lock)
        {
            return _young.Contains(id) || _old.Contains(id);
        }
    }

    public void Add(in Bytes32 id)
    {
        lock (_lock)
        {
            if (_young.Count >= GenerationSize)
            {
                (_old, _young) = (_young, _old);
                _young.Clear();
            }

            _young.Add(id);
        }
    }

    public void Clear()
    {
        lock (_lock)
        {
            _young.Clear();
            _old.Clear();
        }
    }
}
