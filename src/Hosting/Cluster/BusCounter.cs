namespace Marmot.Hosting.Cluster;

/// <summary>The sending half that all buses share: numbers a channel's messages, those dropped included, and remembers on which channels something was
/// dropped.</summary>
/// <remarks>Not thread-safe; used under the bus's own lock or by its loop.</remarks>
internal sealed class BusCounter(ulong sender)
{
    private readonly Dictionary<string, ulong> _numbers = new(StringComparer.Ordinal);
    private readonly HashSet<string> _dropped = new(StringComparer.Ordinal);

    public byte[] Frame(string channel, ReadOnlySpan<byte> message)
    {
        var number = _numbers.GetValueOrDefault(channel) + 1;
        _numbers[channel] = number;
        return BusFrame.Write(sender, number, message);
    }

    public void Dropped(string channel) => _dropped.Add(channel);

    /// <summary>Empty messages for the channels on which something was dropped: their numbers show the gap.</summary>
    public List<(string Channel, byte[] Frame)> TakeGaps()
    {
        var gaps = _dropped.Select(channel => (channel, Frame(channel, []))).ToList();
        _dropped.Clear();
        return gaps;
    }
}
