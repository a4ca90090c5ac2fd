using System.Diagnostics.CodeAnalysis;
using Marmot.Relay.Storage.Native;

namespace Marmot.Relay.Storage.Index;

/// <summary>LMDB refused an operation: a full disk, a full map, a damaged file.</summary>
[SuppressMessage("Design", "CA1032", Justification = "Made only from a return code.")]
internal sealed class LmdbException(int code) : IOException(Lmdb.Describe(code))
{
    public int Code { get; } = code;

    /// <summary>True when the files are at fault: damaged, cut short, or of another version of LMDB. A full disk or a missing right is not.</summary>
    public bool IsDamage => Code is Lmdb.Invalid or Lmdb.VersionMismatch or Lmdb.Panic or Lmdb.Corrupted or Lmdb.PageNotFound or Lmdb.Incompatible;

    public static void ThrowIfFailed(int code)
    {
        if (code != Lmdb.Success)
        {
            throw new LmdbException(code);
        }
    }
}
