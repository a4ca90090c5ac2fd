using Marmot.Protocol.Filters;

namespace Marmot.Relay.Live;

/// <summary>What filters take in memory while their subscription is open: their values, what they are matched with, and their places in the index.</summary>
internal static class FilterMemory
{
    private const int SubscriptionBytes = 1000; // the subscription itself, its head and its place in the connection
    private const int FilterBytes = 600;
    private const int KeyBytes = 90; // of 32 bytes, also as an entry of the matcher's set
    private const int KindBytes = 30;
    private const int TextBytes = 160; // a string, its UTF-8, and an entry of the matcher's set, beside three bytes a character
    private const int IndexBytes = 230; // an entry of the index with a list of its own

    /// <summary>About how many bytes; never far below.</summary>
    public static int BytesOf(Filter[] filters)
    {
        var bytes = SubscriptionBytes;
        foreach (var filter in filters)
        {
            var keys = (filter.Ids?.Length ?? 0) + (filter.Authors?.Length ?? 0);
            bytes += FilterBytes + (keys * KeyBytes) + ((filter.Kinds?.Length ?? 0) * KindBytes);
            var indexed = int.MaxValue;
            foreach (var (_, values) in filter.Tags)
            {
                indexed = Math.Min(indexed, values.Length);
                foreach (var value in values)
                {
                    bytes += TextBytes + (value.Length * 3);
                }
            }

            indexed = filter.Ids?.Length ?? (indexed < int.MaxValue ? indexed : filter.Authors?.Length ?? filter.Kinds?.Length ?? 1);
            bytes += indexed * IndexBytes;
        }

        return bytes;
    }
}
