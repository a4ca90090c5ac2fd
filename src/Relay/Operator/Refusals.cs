using System.Globalization;

namespace Marmot.Relay.Operator;

/// <summary>Why events of an import or a reconciliation were not taken: each reason with its count, and one by one where the operator wants to see
/// them.</summary>
/// <param name="tellEach">Takes a sentence for each refusal; null for the counts alone.</param>
internal sealed class Refusals(Func<string, Task>? tellEach = null)
{
    private readonly SortedDictionary<string, long> _counts = new(StringComparer.Ordinal);

    /// <summary>Reasons and how often each came.</summary>
    public IReadOnlyDictionary<string, long> Counts => _counts;

    /// <summary>Counts one refusal.</summary>
    /// <param name="place">Which event: its line, or its id.</param>
    /// <param name="reason">Why.</param>
    public async Task AddAsync(string place, string reason)
    {
        _counts[reason] = _counts.GetValueOrDefault(reason) + 1;
        if (tellEach is not null)
        {
            await tellEach($"{place}: {reason}");
        }
    }

    /// <summary>A line for each reason, the most frequent first; none when nothing was refused.</summary>
    public IEnumerable<string> Describe() =>
        _counts.OrderByDescending(reason => reason.Value).Select(reason => string.Create(CultureInfo.InvariantCulture, $"  {reason.Value,10}  {reason.Key}"));
}
