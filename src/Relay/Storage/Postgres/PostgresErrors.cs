using Npgsql;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>Turns what Npgsql throws into what the rooms above a store expect.</summary>
internal static class PostgresErrors
{
    /// <param name="work">What to do.</param>
    /// <param name="tooWide">True when running out of time means that the query asks for too much.</param>
    /// <exception cref="IOException">The server cannot be reached, refused, or answers nonsense.</exception>
    /// <exception cref="QueryTooWideException">It ran out of time.</exception>
    public static async Task<T> GuardAsync<T>(Func<Task<T>> work, bool tooWide = false)
    {
        try
        {
            return await work();
        }
        catch (NpgsqlException exception) when (tooWide && exception.InnerException is TimeoutException)
        {
            throw new QueryTooWideException();
        }
        catch (PostgresException exception)
        {
            throw new IOException("PostgreSQL refused: " + exception.SqlState + " " + exception.MessageText, exception);
        }
        catch (Exception exception) when (exception is NpgsqlException or TimeoutException or System.Net.Sockets.SocketException
            or InvalidOperationException { InnerException: NpgsqlException }) // how EF Core wraps a connection that broke
        {
            throw new IOException("PostgreSQL cannot be reached: " + exception.Message, exception);
        }
        catch (Exception exception) when (exception is not (OperationCanceledException or QueryTooWideException or IOException))
        {
            // There is no type for what Npgsql throws when it cannot read an answer: casts, indices, formats.
            throw new IOException("PostgreSQL answers nonsense: " + exception.GetType().Name, exception);
        }
    }
}
