using System.Globalization;
using System.Text;
using Marmot.Platform.Files;

namespace Marmot.Relay.Storage;

/// <summary>The number of the format that an embedded store's files have. Without it a program that is older than the files would take the newer records for a torn end and cut them off.</summary>
internal static class StoreFormat
{
    /// <summary>What this program writes. A store without a stamp is of this format: the first programs wrote none.</summary>
    public const int Current = 1;

    /// <summary>Reads the stamp before anything else of the store is touched, and makes it where there is none.</summary>
    /// <exception cref="IOException">The store is of a format that this program does not know.</exception>
    public static void Check(string path)
    {
        if (!File.Exists(path))
        {
            AtomicFile.Replace(path, Encoding.ASCII.GetBytes(Current.ToString(CultureInfo.InvariantCulture)));
            return;
        }

        var stamp = File.ReadAllText(path).Trim();
        if (!int.TryParse(stamp, NumberStyles.None, CultureInfo.InvariantCulture, out var format) || format != Current)
        {
            throw new IOException($"the store is of format '{stamp}' and this program knows format {Current}: it was written by a newer version, start that one ({path})");
        }
    }
}
