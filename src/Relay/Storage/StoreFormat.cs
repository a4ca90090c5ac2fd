using System.Globalization;
using System.Text;
using Marmot.Platform.Files;

namespace Marmot.Relay.Storage;

/// <summary>The number of the format that an embedded store's files have. Without it a program that is older than the files would take the newer records for a
/// torn end and cut them off.</summary>
/// <remarks>1: records of version 1 (<see cref="Log.LogRecord"/>). 2: records of both versions; a store of format 1 becomes one of format 2 when it is opened,
/// and stays readable only for programs that know it.</remarks>
internal static class StoreFormat
{
    /// <summary>What this program writes. A store without a stamp is of the first format: the first programs wrote none.</summary>
    public const int Current = 2;

    /// <summary>Reads the stamp before anything else of the store is touched, and makes it this program's.</summary>
    /// <exception cref="IOException">The store is of a format that this program does not know.</exception>
    public static void Check(string path)
    {
        var stamp = File.Exists(path) ? File.ReadAllText(path).Trim() : "1";
        if (!int.TryParse(stamp, NumberStyles.None, CultureInfo.InvariantCulture, out var format) || format is < 1 or > Current)
        {
            throw new IOException(
                $"the store is of format '{stamp}' and this program knows format {Current}: it was written by a newer version, start that one ({path})");
        }

        if (format != Current || !File.Exists(path))
        {
            AtomicFile.Replace(path, Encoding.ASCII.GetBytes(Current.ToString(CultureInfo.InvariantCulture)));
        }
    }
}
