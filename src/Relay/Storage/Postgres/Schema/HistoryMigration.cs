using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace Marmot.Relay.Storage.Postgres.Schema;

/// <summary>The deployment's id, the database's history, and the kinds that no relay holds.</summary>
[DbContext(typeof(RelaySchema))]
[Migration("20261130000000_History")]
internal sealed class HistoryMigration : Migration
{
    protected override void Up(MigrationBuilder migrationBuilder) => migrationBuilder.Sql(RelaySchema.ReadText("0003-history.sql"));

    // As for the events: an older program does not look at the table.
    protected override void Down(MigrationBuilder migrationBuilder)
    {
    }
}
