using Marmot.Blossom.Storage;
using Npgsql;

namespace Marmot.Blossom.Index.Postgres;

/// <summary>The index belongs to a server with another owner secret or profile.</summary>
internal sealed class ForeignIndexException() : InvalidOperationException(
    "the blob index in PostgreSQL was made with another owner secret or profile: give every replica the same Blossom:Profile and the same file as "
        + "Blossom:OwnerSecretFile");

/// <summary>Tells a database that is away from one that refuses what it is asked.</summary>
internal static class PostgresFaults
{
    public const string Part = "PostgreSQL";
    private const int NoSpace = 28; // ENOSPC, see DiskErrors

    /// <summary>The connection is lost, not the question wrong: another connection may answer. So it is with all that are pooled when the database was
    /// restarted.</summary>
    public static bool IsConnectionLost(Exception error) => error switch
    {
        PostgresException { SqlState: ['0', '8', ..] or ['5', '7', 'P', '0', ..] } => true, // connection faults; ended by the operator or a crash, starting up
        PostgresException or { InnerException: TimeoutException } => false, // who was waited for in vain is not waited for twice
        _ => error is NpgsqlException,
    };

    /// <summary>What callers of the index are told; null when it is a fault of ours that must be seen as one.</summary>
    public static IOException? Translate(Exception error) => error switch
    {
        PostgresException { SqlState: PostgresErrorCodes.DiskFull } => new IOException("the database has no space left", NoSpace),
        PostgresException { SqlState: ['2', '2' or '3', ..] or ['4', '2', ..] } => null, // bad data, constraint, syntax
        OperationCanceledException or IOException or ForeignIndexException => null,
        _ => new StorageUnavailableException(Part, error), // from an answer that is nonsense Npgsql throws whatever its reading stumbles on
    };
}
