using System.Globalization;
using System.Text;
using Marmot.Platform.Files;

namespace Marmot.Hosting.Deletion;

/// <summary>The last date that deletions went by, as a file of the data folder: Unix seconds in digits.</summary>
/// <param name="folder">The data folder.</param>
public sealed class DeletionDateFile(string folder) : IDeletionPast
{
    /// <summary>The name of the file in the data folder.</summary>
    public const string Name = "deletion-date";

    private const long MaxSeconds = 250_000_000_000; // the year 9892: dates can still be added to

    private readonly string _path = Path.Combine(folder, Name);

    /// <inheritdoc/>
    public ValueTask<DateTimeOffset?> ReadAsync(CancellationToken cancel)
    {
        try
        {
            var text = File.ReadAllText(_path);
            return new(long.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) && seconds <= MaxSeconds
                ? DateTimeOffset.FromUnixTimeSeconds(seconds)
                : null);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return new((DateTimeOffset?)null);
        }
    }

    /// <inheritdoc/>
    public void Keep(DateTimeOffset reached)
    {
        try
        {
            AtomicFile.Replace(_path, Encoding.ASCII.GetBytes(Math.Max(0, reached.ToUnixTimeSeconds()).ToString(CultureInfo.InvariantCulture) + "\n"));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // a full disk is one that deletions make room on
        }
    }
}
