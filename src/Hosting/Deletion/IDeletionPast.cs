namespace Marmot.Hosting.Deletion;

/// <summary>What is known of the date from before this process began.</summary>
public interface IDeletionPast
{
    /// <summary>A date that has certainly been reached; null when nothing is known.</summary>
    /// <exception cref="IOException">It cannot be asked now.</exception>
    ValueTask<DateTimeOffset?> ReadAsync(CancellationToken cancel);

    /// <summary>Keeps a date for the next process. One that cannot be written is left out: the next process then waits longer at worst.</summary>
    void Keep(DateTimeOffset reached);
}
