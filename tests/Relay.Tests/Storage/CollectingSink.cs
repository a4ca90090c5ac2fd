using System.Text;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Tests.Storage;

/// <summary>Takes the JSON of stored events until it has enough.</summary>
internal sealed class CollectingSink : IStoredEventSink
{
    public List<string> Texts { get; } = [];

    public int Most { get; init; } = int.MaxValue;

    public int Left { get; set; } = int.MaxValue;

    public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
    {
        Texts.Add(Encoding.UTF8.GetString(json));
        return --Left > 0;
    }
}
