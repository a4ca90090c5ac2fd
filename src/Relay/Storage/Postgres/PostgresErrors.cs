using Npgsql;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>Turns what Npgsql throws into what the rooms above a store expect.</summary>
internal static class PostgresErrors
{
    /// <summary>False when the connection failed rather than the statement.</summary>
    public static bool IsFromServer(this NpgsqlException exception) => exception is PostgresException;

    /// <exception cref="IOException">The server cannot be reached, or refused.</exception>
    public static async Task<T> GuardAsync<T>(Func<Task<T>> work)
    {
        try
        {
            return await work();
        }
        catch (PostgresException exception)
        {
            throw new IOException("PostgreSQL refused: " + exception.SqlState + " " + exception.MessageText, exception);
        }
        catch (Exception exception) when (exception is NpgsqlException or TimeoutException or System.Net.Sockets.SocketException)
        {
            throw new IOException("PostgreSQL cannot be reached: " + exception.Message, exception);
        }
    }
}
